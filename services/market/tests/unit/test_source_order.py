from collections.abc import Sequence

import pytest

from market.domain.capabilities import Capability
from market.domain.instruments import Instrument
from market.domain.source_order import OrderInvalid, in_order, parse_order


class FakeSource:
    """A source with a name and what it can be asked."""

    is_simulated = False

    def __init__(self, name: str, *capabilities: Capability) -> None:
        self.name = name
        self.capabilities = frozenset(capabilities)

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        raise NotImplementedError


FMP = FakeSource("fmp", Capability.NEWS, Capability.QUOTES)
YAHOO = FakeSource("yahoo", Capability.NEWS, Capability.QUOTES)
ZERODHA = FakeSource("zerodha", Capability.QUOTES)


def names(sources: Sequence[FakeSource]) -> list[str]:
    return [source.name for source in sources]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", {}),
        ("news=fmp", {Capability.NEWS: ("fmp",)}),
        (
            " News = FMP , yahoo ; after_market_trades=yahoo; ",
            {Capability.NEWS: ("fmp", "yahoo"), Capability.AFTER_MARKET_TRADES: ("yahoo",)},
        ),
    ],
)
def test_an_order_is_read_as_it_is_written(text: str, order: dict[Capability, tuple[str, ...]]) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("news", "'news' is not an order of sources; write it like news=fmp,yahoo"),
        ("news=", "'news=' is not an order of sources"),
        ("news=fmp,,yahoo", "'news=fmp,,yahoo' is not an order of sources"),
        ("news=fmp,fmp", "'news=fmp,fmp' names a source twice"),
        ("gossip=fmp", "'gossip' is no kind of question that sources are asked; known are quotes, quote_details,"),
        ("news=fmp;news=yahoo", "news is ordered twice; write each kind of question once"),
    ],
)
def test_what_is_no_order_is_refused_and_said_why(text: str, told: str) -> None:
    with pytest.raises(OrderInvalid) as raised:
        parse_order(text)
    assert str(raised.value).startswith(told)


def test_without_an_order_all_that_are_able_are_asked_as_they_stand() -> None:
    assert names(in_order(Capability.NEWS, [ZERODHA, YAHOO, FMP], {})) == ["yahoo", "fmp"]


def test_with_an_order_only_those_it_names_are_asked() -> None:
    order = {Capability.QUOTES: ("fmp", "zerodha")}
    assert names(in_order(Capability.QUOTES, [ZERODHA, YAHOO, FMP], order)) == ["fmp", "zerodha"]


@pytest.mark.parametrize("name", ["zerodha", "icici"])
def test_an_order_that_names_who_cannot_answer_is_refused(name: str) -> None:
    with pytest.raises(OrderInvalid) as raised:
        in_order(Capability.NEWS, [ZERODHA, FMP], {Capability.NEWS: (name,)})
    assert str(raised.value) == f"news names {name!r}, which does not answer it here; able are: fmp"
