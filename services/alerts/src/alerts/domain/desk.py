"""Takes, changes, deletes and lists alerts for their owners."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from zlib import crc32

from alerts.domain.accounts import AccountDeleted, ended_through
from alerts.domain.alerts import Alert, AlertChanged, AlertNotFound, AlertType
from alerts.domain.instruments import InstrumentsUnavailable, SymbolAmbiguous, SymbolUnknown
from alerts.domain.leases import LeaseLost
from alerts.domain.ports import AlertStore, Announcer, InstrumentSource, TickStream
from alerts.domain.positions import Position
from alerts.domain.targets import parse_target
from alerts.domain.terms import ExpiryInvalid, read_note, require_expiry
from alerts.domain.ticks import shard_of
from alerts.domain.watch import Watch, entry_of
from alerts.domain.watches import Watches
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

MAX_USER_ID_LENGTH = 255
MAX_ATTEMPTS = 3
LOCKS = 256

Answer = TypeVar("Answer")


class AlertTypeInvalid(ServiceError):
    """An alert has to say which way the price shall go."""

    code = Code.INVALID_ARGUMENT
    reason = "ALERT_TYPE_INVALID"

    def __init__(self) -> None:
        super().__init__("the type of an alert is buy or sell")


class UserIdInvalid(ServiceError):
    """No user has such an id."""

    code = Code.INVALID_ARGUMENT
    reason = "USER_ID_INVALID"

    def __init__(self) -> None:
        super().__init__(f"a user id has 1 to {MAX_USER_ID_LENGTH} printable characters")


class TooManyAlerts(ServiceError):
    """The user has as many alerts as one may have."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_ALERTS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} alerts already, which is the most a user may have")


class AlertDesk:
    """Sets, changes, deletes and lists alerts, whoever holds their shards.

    What is not held here is committed with the position it is armed at, and taken up by its holder.
    """

    def __init__(
        self,
        store: AlertStore,
        instruments: InstrumentSource,
        stream: TickStream,
        *,
        watches: Watches,
        announcer: Announcer,
        clock: Clock,
        new_id: Callable[[], int],
        max_per_user: int,
        on_armed: Callable[[], None],
        on_waiting: Callable[[], None],
    ) -> None:
        """Take alerts.

        Args:
            store: keeps them.
            instruments: says what symbols mean.
            stream: says where the ticks stand.
            watches: watch for those whose shards are held here.
            announcer: tells the other replicas.
            clock: says when.
            new_id: makes ids.
            max_per_user: how many alerts a user may have.
            on_armed: called after an alert was armed: ticks may have reached it meanwhile.
            on_waiting: called after an alert was saved that is still to be taken up here.
        """
        self._store = store
        self._instruments = instruments
        self._stream = stream
        self._watches = watches
        self._announcer = announcer
        self._clock = clock
        self._new_id = new_id
        self._max_per_user = max_per_user
        self._on_armed = on_armed
        self._on_waiting = on_waiting
        # A user's requests take turns, so that the limit is exact and generations do not collide in this process.
        self._locks = [asyncio.Lock() for _ in range(LOCKS)]
        self._saving: set[asyncio.Task[Any]] = set()

    async def list_alerts(self, user_id: str) -> Sequence[Alert]:
        """Return a user's alerts, fired and expired ones too, oldest first.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        now = self._clock.now()
        return [alert.as_of(now) for alert in await self._store.list_of(user_id)]

    async def find_alert(self, user_id: str, alert_type: AlertType, *, symbol: str) -> Alert:
        """Return one alert of a user.

        Raises:
            UserIdInvalid: no user has such an id.
            SymbolInvalid: the symbol cannot be one.
            SymbolAmbiguous: the symbol names several instruments.
            InstrumentsUnavailable: nobody can say what the symbol means.
            AlertNotFound: there is none.
        """
        require_user_id(user_id)
        found = await self._find(user_id, alert_type, symbol)
        if found is None:
            raise AlertNotFound
        return found.as_of(self._clock.now())

    async def set_alert(
        self,
        user_id: str,
        alert_type: AlertType,
        *,
        symbol: str,
        price: str,
        note: str | None = None,
        expires_at: datetime | None = None,
    ) -> Alert:
        """Make an alert, or replace the terms of the one there is for this type and instrument and arm it again.

        Raises:
            UserIdInvalid: no user has such an id.
            PriceInvalid: the price is not one an alert can wait for.
            NoteInvalid: the note is too long or no text.
            ExpiryInvalid: it would have ended already.
            SymbolInvalid: the symbol cannot be one.
            SymbolUnknown: the symbol names nothing.
            SymbolAmbiguous: the symbol names several instruments.
            InstrumentsUnavailable: nobody can say what the symbol means.
            TooManyAlerts: the user has as many as one may have.
            AlertChanged: others kept setting the same alert.
            AccountDeleted: the account is gone.
        """
        require_user_id(user_id)
        target, kept_note = parse_target(price), read_note(note)
        require_expiry(expires_at, now=self._clock.now())
        written, instrument = symbol.upper(), await self._instruments.resolve(symbol)

        async def find() -> Alert | None:
            return await self._store.find(user_id, alert_type, instrument)

        async def follow(existing: Alert | None) -> Alert:
            now = self._clock.now()
            if existing is not None:
                return existing.set_again(symbol=written, price=target, at=now, note=kept_note, expires_at=expires_at)
            await self._require_room(user_id)
            alert = Alert(self._new_id(), user_id, alert_type, instrument, written, target, 1, now)
            return alert.with_terms(note=kept_note, expires_at=expires_at)

        return await self._finish(self._set(user_id, find, follow))

    async def update_alert(
        self,
        user_id: str,
        alert_type: AlertType,
        *,
        symbol: str,
        price: str,
        note: str | None = None,
        expires_at: datetime | None = None,
    ) -> Alert:
        """Replace the price of an alert and arm it again; a note or an expiry that is None stays what it was.

        Raises:
            UserIdInvalid: no user has such an id.
            PriceInvalid: the price is not one an alert can wait for.
            NoteInvalid: the note is too long or no text.
            ExpiryInvalid: it would have ended already; so it would with the expiry it has.
            SymbolInvalid: the symbol cannot be one.
            SymbolAmbiguous: the symbol names several instruments.
            InstrumentsUnavailable: nobody can say what the symbol means.
            AlertNotFound: there is none.
            AlertChanged: others kept setting the same alert.
            AccountDeleted: the account is gone.
        """
        require_user_id(user_id)
        target, new_note = parse_target(price), read_note(note)
        require_expiry(expires_at, now=self._clock.now())

        async def find() -> Alert | None:
            return await self._find(user_id, alert_type, symbol)

        async def follow(existing: Alert | None) -> Alert:
            if existing is None:
                raise AlertNotFound
            now = self._clock.now()
            end = expires_at or existing.expires_at
            if end is not None and end <= now:
                raise ExpiryInvalid("the alert has expired: say with its price a later moment at which it expires")
            kept_note = existing.note if note is None else new_note
            return existing.set_again(symbol=existing.symbol, price=target, at=now, note=kept_note, expires_at=end)

        return await self._finish(self._set(user_id, find, follow))

    async def delete_alert(self, user_id: str, alert_type: AlertType, *, symbol: str) -> Alert:
        """Delete an alert and return it as it was; what it has fired stays in its history.

        Either a fire is committed before it, or it never happens: both are decided by the same row.

        Raises:
            UserIdInvalid: no user has such an id.
            SymbolInvalid: the symbol cannot be one.
            SymbolAmbiguous: the symbol names several instruments.
            InstrumentsUnavailable: nobody can say what the symbol means.
            AlertNotFound: there is none.
        """
        require_user_id(user_id)

        async def delete() -> Alert:
            existing = await self._find(user_id, alert_type, symbol)
            deleted = None if existing is None else await self._store.delete(existing.id)
            if deleted is None:
                raise AlertNotFound
            await self._tell_of([], [deleted])
            return deleted

        return await self._finish(self._take_turn(user_id, delete))

    async def delete_alerts(self, user_id: str, alert_type: AlertType | None) -> int:
        """Delete all alerts of a user, or all of one type, and return how many there were; their fires stay.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        return await self._delete_all(user_id, lambda: self._store.delete_of(user_id, alert_type))

    async def forget_user(self, user_id: str, deleted_at: datetime) -> int:
        """Delete what was set before an account was deleted, and return how many alerts; again, it changes nothing.

        What a user set later, who came back under the same id, stays however late this is heard.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        through = ended_through(deleted_at, now=self._clock.now())
        return await self._delete_all(user_id, lambda: self._store.delete_user(user_id, through=through))

    async def finish(self) -> None:
        """Wait for what is being saved."""
        await asyncio.gather(*self._saving, return_exceptions=True)

    async def _finish(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for a change; a caller who stops waiting must not stop a commit half-way: its outcome decides."""
        saving = asyncio.create_task(work, name="change-alerts")
        self._saving.add(saving)
        saving.add_done_callback(self._note_saved)
        return await asyncio.shield(saving)

    def _note_saved(self, saving: "asyncio.Task[Any]") -> None:
        self._saving.discard(saving)
        with suppress(asyncio.CancelledError):
            # Asked for here, asyncio doesn't complain when the caller is gone who would have been told of a failure.
            saving.exception()

    async def _take_turn(self, user_id: str, change: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._locks[crc32(user_id.encode()) % LOCKS]:
            return await change()

    async def _set(
        self,
        user_id: str,
        find: Callable[[], Awaitable[Alert | None]],
        follow: Callable[[Alert | None], Awaitable[Alert]],
    ) -> Alert:
        """Save what follows on the alert that is found, and read it anew when somebody else was faster."""

        async def change() -> Alert:
            for _ in range(MAX_ATTEMPTS):
                existing = await find()
                alert = await follow(existing)
                with suppress(AlertChanged):
                    return await self._arm(alert, existing)
            raise AlertChanged

        return await self._take_turn(user_id, change)

    async def _find(self, user_id: str, alert_type: AlertType, symbol: str) -> Alert | None:
        """Find an alert by any form of its symbol; the form it is kept under finds it even if nobody knows it now."""
        try:
            instrument = await self._instruments.resolve(symbol)
        except SymbolUnknown:
            return await self._store.find_written(user_id, alert_type, symbol.upper())
        except (SymbolAmbiguous, InstrumentsUnavailable):
            found = await self._store.find_written(user_id, alert_type, symbol.upper())
            if found is None:
                raise
            return found
        return await self._store.find(user_id, alert_type, instrument)

    async def _delete_all(self, user_id: str, delete: Callable[[], Awaitable[Sequence[Alert]]]) -> int:
        async def change() -> int:
            deleted = await delete()
            await self._tell_of([], deleted)
            return len(deleted)

        return await self._finish(self._take_turn(user_id, change))

    async def _require_room(self, user_id: str) -> None:
        if await self._store.count(user_id) >= self._max_per_user:
            raise TooManyAlerts(self._max_per_user)

    async def _arm(self, alert: Alert, replaced: Alert | None) -> Alert:
        latest = await self._stream.latest()
        watch = self._watches.of(alert.instrument)
        if latest is None or watch is None:
            return await self._hand_over(alert, replaced, latest)
        try:
            return await self._arm_here(watch, watch.propose(alert, latest), replaced)
        except LeaseLost:
            return await self._hand_over(alert, replaced, latest)

    async def _arm_here(self, watch: Watch, armed: Alert, replaced: Alert | None) -> Alert:
        try:
            await self._store.save(armed, replaces=replaced, lease=watch.lease)
        except (AlertChanged, LeaseLost, AccountDeleted):
            watch.withdraw(armed)
            raise
        except BaseException:
            # Whether it is committed is not known. If it is not, a tick that reaches it finds nothing to fire.
            watch.confirm(armed)
            raise
        watch.confirm(armed)
        if replaced is not None:
            watch.forget(replaced)
        self._on_armed()
        return armed

    async def _hand_over(self, alert: Alert, replaced: Alert | None, latest: Position | None) -> Alert:
        """Save an alert that its holder is to take up from the position; without one, from where the stream is then."""
        armed_at = None if latest is None else self._watches.evaluated_at
        waiting = replace(alert, armed=latest, armed_at=armed_at)
        forgotten: list[Alert] = []
        try:
            await self._store.save(waiting, replaces=replaced, lease=None)
            forgotten = [] if replaced is None else [replaced]
        finally:
            # It may be committed whatever was raised, and is to be taken up then.
            await self._tell_of([waiting], forgotten)
        return waiting

    async def _tell_of(self, waiting: Sequence[Alert], forgotten: Sequence[Alert]) -> None:
        """Let whoever holds their shards know of alerts to take up, and of those that were replaced or deleted."""
        if any(self._watches.of(alert.instrument) for alert in waiting):
            self._on_waiting()
        theirs = [entry_of(alert) for alert in forgotten if not self._watches.forget(alert)]
        shards = {shard_of(alert.instrument) for alert in waiting if not self._watches.of(alert.instrument)}
        if shards or theirs:
            await self._announcer.changed(shards, theirs)


def require_user_id(user_id: str) -> None:
    """Refuse an id that no user has.

    Raises:
        UserIdInvalid: it is one.
    """
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or not user_id.isprintable():
        raise UserIdInvalid
