"""A budget that counts what is taken out of it."""

from brokers.domain.brokers import Broker
from brokers.domain.ports import Budget
from chassis.metrics import counter

_CALLS = counter("bourse_brokers_budget_calls", "Calls asked of the brokers' budgets.", ["broker", "outcome"])
_GRANTED, _REFUSED = (
    {broker: _CALLS.labels(broker.value, outcome) for broker in Broker} for outcome in ("granted", "refused")
)
_SPENT = counter("bourse_brokers_budget_spent", "Times that a budget was found spent.", ["broker"])
_BY_BROKER = {broker: _SPENT.labels(broker.value) for broker in Broker}


class CountedBudget:
    """Passes questions on to a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    async def take(self, broker: Broker, calls: int) -> int:
        """Take up to `calls` calls out of the budget and return how many; 0 when it is spent."""
        granted = await self._budget.take(broker, calls)
        _GRANTED[broker].inc(granted)
        _REFUSED[broker].inc(calls - granted)
        return granted

    async def wait_seconds(self, broker: Broker) -> float:
        """Return after how long a call can be taken again; 0 when one can be now."""
        seconds = await self._budget.wait_seconds(broker)
        if seconds:
            _BY_BROKER[broker].inc()
        return seconds
