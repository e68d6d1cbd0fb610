"""What is kept of a deleted account, who may still ask in its name, and who may have its id next: times that fit."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from alerts.domain import accounts as of_alerts
from auth.domain.accounts import RETURN_AFTER
from chassis.settings import LONGEST_DEADLINE_SECONDS
from gateway.security import CALL_TIMEOUT_SECONDS, REVOCATIONS_REREAD_SECONDS, WATCH_SECONDS
from gateway.settings import LONGEST_BLIND_SECONDS, LONGEST_BODY_SECONDS, Settings
from portfolio.domain import accounts as of_portfolio

CLOCKS_APART = timedelta(minutes=1)
WINDOWS = [of_alerts.LATE_REQUESTS, of_portfolio.LATE_REQUESTS]


@pytest.mark.parametrize("window", WINDOWS)
def test_what_a_dead_token_brings_is_deleted_with_the_account(window: timedelta) -> None:
    # auth died before it told anybody: what NATS says nothing of is read from it once a minute.
    unheard = REVOCATIONS_REREAD_SECONDS + WATCH_SECONDS + CALL_TIMEOUT_SECONDS + LONGEST_BLIND_SECONDS
    under_way = LONGEST_BODY_SECONDS + LONGEST_DEADLINE_SECONDS
    assert timedelta(seconds=unheard + under_way) + CLOCKS_APART <= window


@pytest.mark.parametrize("window", WINDOWS)
def test_what_somebody_makes_who_comes_back_is_not(window: timedelta) -> None:
    assert window + CLOCKS_APART <= RETURN_AFTER


@pytest.mark.parametrize(
    ("setting", "longest"),
    [
        ("gateway_revocations_max_age_seconds", LONGEST_BLIND_SECONDS),
        ("gateway_body_timeout_seconds", LONGEST_BODY_SECONDS),
        ("rpc_deadline_seconds", LONGEST_DEADLINE_SECONDS),
    ],
)
def test_no_setting_lets_what_a_dead_token_brings_come_later(setting: str, longest: int) -> None:
    assert getattr(Settings.model_validate({setting: longest}), setting) == longest
    with pytest.raises(ValidationError, match=f"less than or equal to {longest}"):
        Settings.model_validate({setting: longest + 1})
