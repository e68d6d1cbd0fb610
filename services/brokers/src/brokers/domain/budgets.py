"""How often each broker may be asked for prices, by its own documentation."""

from dataclasses import dataclass

from brokers.domain.brokers import Broker


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many calls in any stretch of so many seconds."""

    calls: int
    seconds: int


ALLOWANCES = {
    Broker.ZERODHA: (Allowance(1, 1),),
    Broker.ICICI: (Allowance(100, 60), Allowance(5_000, 24 * 3600)),
}
