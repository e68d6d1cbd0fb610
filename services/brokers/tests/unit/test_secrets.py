import copy
import pickle

import pytest

from brokers.domain.secrets import Secret, SecretLeaving


def test_a_secret_shows_itself_to_nobody_by_accident() -> None:
    secret = Secret("canary")
    shown = f"{secret} {secret!r} {secret!s} {secret:>30} {[secret]}"
    assert "canary" not in shown
    assert secret.reveal() == "canary"


@pytest.mark.parametrize("leave", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_secret_cannot_be_copied_or_pickled(leave: object) -> None:
    assert callable(leave)
    with pytest.raises(SecretLeaving, match="cannot be serialised"):
        leave(Secret("canary"))


def test_secrets_are_compared_by_their_text() -> None:
    assert Secret("one").matches(Secret("one"))
    assert not Secret("one").matches(Secret("two"))


def test_a_forgotten_secret_is_none() -> None:
    secret = Secret("canary")
    assert secret
    secret.forget()
    assert not secret
    assert secret.reveal() == ""
