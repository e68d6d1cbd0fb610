"""The lease that says which replica leads.

Its holder changes it every two seconds. It can be taken by who has seen it unchanged for longer than a holder relies on
it, each on its own monotonic clock: what time it is, nobody has to agree on.
"""

from dataclasses import dataclass

# How long a holder relies on its lease, from before it asked for it.
HOLD_SECONDS = 5.0
# How long others see it unchanged before they take it, from after they saw it first: a batch that is being published
# when a holder's time is over has a second to get out.
LEASE_SECONDS = 6.0
# Stands for the holder when a lease was given back by who may have lost ticks. It is no replica's name. The release
# before takes it for one, and waits until the lease of such a holder has run out.
NOT_WHOLE = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as the database has it.

    Attributes:
        holder: the replica whose it is; None when it was given back whole, `NOT_WHOLE` when it was given back by who
            may have lost ticks.
        epoch: the turn, which every taking makes greater: microseconds since 1970, by the clock of who took it and more
            where that would not be greater. Batches of ticks bear it.
        renewals: how often the holder has renewed it in this turn.
    """

    holder: str | None
    epoch: int
    renewals: int

    @property
    def is_free(self) -> bool:
        """Say whether it was given back."""
        return self.holder in (None, NOT_WHOLE)

    @property
    def is_whole(self) -> bool:
        """Say whether all that was published in the turns up to this one is known to have reached NATS."""
        return self.holder is None

    def taken_by(self, holder: str, at_microseconds: int) -> "Lease":
        """Return the next turn, of another holder."""
        return Lease(holder, max(at_microseconds, self.epoch + 1), 0)
