"""Takes and lists alerts for their owners."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from zlib import crc32

from alerts.domain.alerts import Alert, AlertChanged, AlertType
from alerts.domain.ports import AlertStore, InstrumentSource, TickStream
from alerts.domain.targets import parse_target
from alerts.domain.watch import Watch
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

MAX_USER_ID_LENGTH = 255
MAX_ATTEMPTS = 3
LOCKS = 256


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
    """Sets and lists alerts."""

    def __init__(
        self,
        store: AlertStore,
        instruments: InstrumentSource,
        stream: TickStream,
        *,
        watch: Watch,
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
            watch: watches for them.
            clock: says when.
            new_id: makes ids.
            max_per_user: how many alerts a user may have.
            on_armed: called after an alert was armed: ticks may have reached it meanwhile.
            on_waiting: called after an alert was saved that could not be armed yet.
        """
        self._store = store
        self._instruments = instruments
        self._stream = stream
        self._watch = watch
        self._clock = clock
        self._new_id = new_id
        self._max_per_user = max_per_user
        self._on_armed = on_armed
        self._on_waiting = on_waiting
        # A user's requests take turns, so that the limit is exact and generations do not collide in this process.
        self._locks = [asyncio.Lock() for _ in range(LOCKS)]
        self._saving: set[asyncio.Task[Alert]] = set()

    async def list_alerts(self, user_id: str) -> Sequence[Alert]:
        """Return a user's alerts, fired ones too, oldest first.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        _require_user_id(user_id)
        return await self._store.list_of(user_id)

    async def set_alert(self, user_id: str, alert_type: AlertType, *, symbol: str, price: str) -> Alert:
        """Make an alert, or replace the price of the one there is for this type and instrument and arm it again.

        Raises:
            UserIdInvalid: no user has such an id.
            PriceInvalid: the price is not one an alert can wait for.
            SymbolInvalid: the symbol cannot be one.
            SymbolUnknown: the symbol names nothing.
            SymbolAmbiguous: the symbol names several instruments.
            InstrumentsUnavailable: nobody can say what the symbol means.
            TooManyAlerts: the user has as many as one may have.
            AlertChanged: others kept setting the same alert.
        """
        _require_user_id(user_id)
        target = parse_target(price)
        instrument = await self._instruments.resolve(symbol)
        setting = self._set(user_id, alert_type, instrument, symbol=symbol.upper(), price=target)
        # A caller who stops waiting must not stop a commit half-way: its outcome decides whether the alert can fire.
        saving = asyncio.create_task(setting, name="set-alert")
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)
        return await asyncio.shield(saving)

    async def finish(self) -> None:
        """Wait for what is being saved."""
        await asyncio.gather(*self._saving, return_exceptions=True)

    async def _set(self, user_id: str, alert_type: AlertType, instrument: str, *, symbol: str, price: Decimal) -> Alert:
        async with self._locks[crc32(user_id.encode()) % LOCKS]:
            for _ in range(MAX_ATTEMPTS):
                existing = await self._store.find(user_id, alert_type, instrument)
                now = self._clock.now()
                if existing is None:
                    await self._require_room(user_id)
                    alert = Alert(self._new_id(), user_id, alert_type, instrument, symbol, price, 1, now)
                else:
                    alert = existing.set_again(symbol=symbol, price=price, at=now)
                with suppress(AlertChanged):
                    return await self._arm(alert, existing)
            raise AlertChanged

    async def _require_room(self, user_id: str) -> None:
        if await self._store.count(user_id) >= self._max_per_user:
            raise TooManyAlerts(self._max_per_user)

    async def _arm(self, alert: Alert, replaced: Alert | None) -> Alert:
        latest = await self._stream.latest()
        if latest is None:
            return await self._save_waiting(alert, replaced)
        armed = self._watch.propose(alert, latest)
        try:
            await self._store.save(armed, replaces=replaced)
        except AlertChanged:
            self._watch.withdraw(armed)
            raise
        except BaseException:
            # Whether it is committed is not known. If it is not, a tick that reaches it finds nothing to fire.
            self._watch.confirm(armed)
            raise
        self._watch.confirm(armed)
        self._forget(replaced)
        self._on_armed()
        return armed

    async def _save_waiting(self, alert: Alert, replaced: Alert | None) -> Alert:
        try:
            await self._store.save(alert, replaces=replaced)
        finally:
            # It may be committed whatever was raised, and is to be armed then.
            self._on_waiting()
        self._forget(replaced)
        return alert

    def _forget(self, replaced: Alert | None) -> None:
        if replaced is not None:
            self._watch.forget(replaced)


def _require_user_id(user_id: str) -> None:
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or not user_id.isprintable():
        raise UserIdInvalid
