from collections.abc import Iterator

import pytest

from harness.backends import EMBEDDED, UNLIMITED, running_suite
from harness.clients import Account, gateway_client, register
from harness.processes import RunningSuite
from upstreams.otlp import Traces, collector, table_of


@pytest.fixture(scope="module")
def traces() -> Iterator[Traces]:
    with collector() as collected:
        yield collected


@pytest.fixture(scope="module")
def suite(traces: Traces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    environment = {**UNLIMITED, "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with running_suite(EMBEDDED, tmp_path_factory.mktemp("traced"), environment) as running:
        yield running


@pytest.fixture
async def owner(suite: RunningSuite) -> Account:
    """Somebody with an alert that any tick fires."""
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        body = {"type": "buy", "symbol": "NSE:TCS", "price": 1_000_000, "note": "a note of mine"}
        answer = await client.post("/api/alerts/me", json=body, headers=account.bearer)
        assert answer.status_code == 200, answer.text
        return account


def test_one_trace_leads_from_a_tick_to_the_mail_that_tells_of_it(traces: Traces, owner: Account) -> None:
    line = traces.line("ticks publish", "mail write")
    print(table_of(line))  # noqa: T201  # shown by -s
    assert [(span.process, span.name) for span in line] == [
        ("bourse-market", "ticks publish"),
        ("bourse-alerts", "alert fire"),
        ("bourse-alerts", "events.alerts.fired publish"),
        ("bourse-alerts", "alerts_mail process"),
        ("bourse-alerts", "mail write"),
    ]
    assert not any(span.has_failed for span in line)


def test_a_request_is_followed_into_the_services_it_reaches(traces: Traces, owner: Account) -> None:
    resolve = "/bourse.market.v1.InstrumentService/ResolveInstrument"
    line = traces.line("POST /api/alerts/{user_id}", resolve)
    assert line[0].process == "bourse-gateway"
    assert line[-2].process == "bourse-alerts"


def test_no_span_tells_whose_it_is_or_what_is_secret(traces: Traces, owner: Account) -> None:
    traces.line("ticks publish", "mail write")
    told = repr(traces.spans)
    for secret in (owner.email, owner.token, owner.refresh_token, "a note of mine"):
        assert secret not in told
    attributes = {name for span in traces.spans for name, _ in span.attributes}
    assert attributes == {"request.id"}
