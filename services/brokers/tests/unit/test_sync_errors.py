import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import PortfolioUnavailable
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal, broker_error, token_refused


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Refusal.THROTTLED, "BROKER_THROTTLED"),
        (Refusal.UNAVAILABLE, "BROKER_UNAVAILABLE"),
        (Refusal.INVALID_ANSWER, "BROKER_ANSWER_INVALID"),
        (Refusal.TIMEOUT, "BROKER_TIMEOUT"),
        (Refusal.TOKEN_INVALID, "BROKER_TOKEN_INVALID"),
    ],
)
def test_each_kind_of_refusal_has_its_reason(kind: Refusal, reason: str) -> None:
    assert broker_error(Broker.ICICI, ChildRefused(kind)).reason == reason


@pytest.mark.parametrize("problem", list(Problem))
def test_each_problem_has_a_sentence_of_its_own(problem: Problem) -> None:
    others = {broker_error(Broker.ICICI, token_refused(other)).message for other in Problem if other is not problem}
    message = broker_error(Broker.ICICI, token_refused(problem)).message
    assert message.startswith("ICICI Direct refused the credentials: ")
    assert message not in others


def test_a_spent_code_is_told_from_an_unspent_one() -> None:
    assert "new one-time code" in PortfolioUnavailable(is_code_spent=True).message
    assert "was not used" in PortfolioUnavailable(is_code_spent=False).message
