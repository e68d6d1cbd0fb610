"""How fires were told, in the database: what waits there is tried until it was told or given up, whoever dies."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Freshness
from alerts.domain.deliveries import (
    HOUR,
    AddressMailState,
    Channel,
    Contact,
    Delivery,
    DeliveryReason,
    DeliveryState,
    FireId,
    MailPolicy,
    MailTry,
    OtherMails,
    Outcome,
    WaitingMails,
    not_begun,
)
from alerts.storage.fires import fire_of
from alerts.storage.tables import ADDRESS_MAILS, DELIVERIES, FIRES
from chassis.database import Database
from chassis.metrics import counter

ADDRESS_LOCK = 7_201_985  # an arbitrary number, the same in every replica
_ORDER = {channel.value: place for place, channel in enumerate(Channel)}

_MAILS = counter("bourse_alerts_mails", "What became of mails about fires, each time something did.", ["outcome"])
_HELD_BACK = _MAILS.labels("held_back")
_BY_STATE = {DeliveryState.SENT: _MAILS.labels("sent"), DeliveryState.WAITING: _MAILS.labels("later")}
_BY_REASON = {reason: _MAILS.labels(reason.value) for reason in DeliveryReason}


class Deliveries:
    """Keeps deliveries in a database."""

    def __init__(self, database: Database, policy: MailPolicy, *, sender: str) -> None:
        """Let mails from `sender` be tried as `policy` says."""
        self._database = database
        self._policy = policy
        self._sender = sender

    async def begin(self, fire_id: FireId, *, told_at: datetime, now: datetime) -> MailTry | None:
        """Record that the event of a fire was told, and take its mail to be tried now.

        Returns:
            The mail, which nobody else tries until its lease ends; None when there is nothing to try: it was told or
            given up, somebody tries it or it waits, or the fire is gone with its user's account.

        Raises:
            DatabaseUnavailable: all of it has happened or nothing; beginning again does no harm.
        """
        async with self._database.transaction() as connection:
            await self._record(connection, fire_id, told_at=told_at, due_at=now)
            claimed = await self._claim(connection, fire_id, now)
        return _to_be_tried(claimed)

    async def postpone(self, fire_id: FireId, *, told_at: datetime, due_at: datetime) -> None:
        """Record that the event of a fire was told, and let its mail wait until `due_at`.

        Raises:
            DatabaseUnavailable: it may or may not be recorded; recording it again does no harm.
        """
        async with self._database.transaction() as connection:
            is_new = await self._record(connection, fire_id, told_at=told_at, due_at=due_at)
        if is_new:
            _HELD_BACK.inc()

    async def due(self, now: datetime, *, limit: int) -> Sequence[FireId]:
        """Return the fires whose mails are to be tried now, the longest due first.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        columns = DELIVERIES.c
        query = select(columns.alert_id, columns.generation).where(
            columns.state == DeliveryState.WAITING.value, columns.due_at <= now
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(columns.due_at).limit(limit))
            return [FireId(row.alert_id, row.generation) for row in rows]

    async def count_waiting(self) -> WaitingMails:
        """Count the mails that are neither sent nor given up, whoever tries them.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        is_of_fire = (FIRES.c.alert_id == DELIVERIES.c.alert_id) & (FIRES.c.generation == DELIVERIES.c.generation)
        # Written out, so that PostgreSQL recognises the condition of the partial index in a prepared statement, too.
        query = select(func.count(), func.min(FIRES.c.committed_at)).where(text("deliveries.state = 'waiting'"))
        async with self._database.reading() as connection:
            rows = await connection.execute(query.select_from(DELIVERIES.join(FIRES, is_of_fire)))
            count, oldest_at = rows.one()
        return WaitingMails(count, oldest_at)

    async def claim(self, fire_id: FireId, *, now: datetime) -> MailTry | None:
        """Take a mail to be tried now; None when there is nothing to try, as of `begin`.

        Raises:
            DatabaseUnavailable: it may or may not be taken; when it was, it waits until its lease ends.
        """
        async with self._database.transaction() as connection:
            claimed = await self._claim(connection, fire_id, now)
        return _to_be_tried(claimed)

    async def admit(self, mail: MailTry, contact: Contact, *, now: datetime) -> MailTry | Outcome | None:
        """Count a mail that is about to be sent among those of its address; a repeat is not one more.

        Its lease begins anew. The first time it is decided whether it shows the note: a repeat has the same bytes, also
        when the address was verified meanwhile.

        Returns:
            The mail as it is to be sent. What becomes of it instead: skipped when the address was sent as many within
            the hour as it gets, whoever's they were, or when the account is gone; waiting when those under way could
            make it as many. None when it is no longer this try's: another took over, or told it already.

        Raises:
            DatabaseUnavailable: it may or may not be counted; the mail must not be sent by this try.
        """
        fire_id = FireId.of(mail.fire)
        async with self._database.transaction() as connection:
            standing = select(DELIVERIES).where(_is_mail_of(fire_id)).with_for_update()
            row = (await connection.execute(standing)).one_or_none()
            if row is None:
                return Outcome.skipped(DeliveryReason.ACCOUNT_GONE)
            if row.state != DeliveryState.WAITING.value or row.attempts != mail.attempts:
                return None
            others = await self._others(connection, fire_id, contact.address_digest, now)
            instead = self._policy.before_send(mail, contact, others, now=now)
            if instead is not None:
                return instead
            await _count_to_limit(connection, fire_id, contact.address_digest, now)
            shows_note = contact.is_verified if row.shows_note is None else row.shows_note
            values = {"shows_note": shows_note, "due_at": now + self._policy.lease}
            await connection.execute(update(DELIVERIES).where(_is_mail_of(fire_id)).values(values))
        return replace(mail, shows_note=shows_note)

    async def forget_addresses(self, before: datetime) -> None:
        """Forget to which addresses mails were tried up to `before`.

        Raises:
            DatabaseUnavailable: all of them may be forgotten, or none.
        """
        async with self._database.transaction() as connection:
            await connection.execute(delete(ADDRESS_MAILS).where(ADDRESS_MAILS.c.tried_at <= before))

    async def settle(self, mail: MailTry, outcome: Outcome) -> None:
        """Record what became of a try; that a mail was sent counts also when its lease has ended meanwhile.

        To its address's limit it counts also when the account is gone.

        Raises:
            DatabaseUnavailable: it may or may not be recorded; recording it again does no harm.
        """
        fire_id = FireId.of(mail.fire)
        which = _is_mail_of(fire_id) & (DELIVERIES.c.state == DeliveryState.WAITING.value)
        if outcome.state is not DeliveryState.SENT:
            which &= DELIVERIES.c.attempts == mail.attempts
        async with self._database.transaction() as connection:
            settled = await connection.execute(update(DELIVERIES).where(which).values(_columns_of(outcome)))
            if outcome.sent_at is not None:
                await _recount(connection, fire_id, state=AddressMailState.SENT.value, tried_at=outcome.sent_at)
            elif settled.rowcount:
                await _recount(connection, fire_id, state=AddressMailState.WAITING.value)
        if settled.rowcount:
            _count_mail(outcome)

    async def of_fires(self, fire_ids: Sequence[FireId]) -> Mapping[FireId, Sequence[Delivery]]:
        """Return how fires were told, in the order of `Channel`; those not yet begun are missing.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        columns = DELIVERIES.c
        keys = [(fire_id.alert_id, fire_id.generation) for fire_id in fire_ids]
        query = select(DELIVERIES).where(tuple_(columns.alert_id, columns.generation).in_(keys))
        found: defaultdict[FireId, list[Delivery]] = defaultdict(list)
        async with self._database.reading() as connection:
            for row in sorted(await connection.execute(query), key=lambda row: _ORDER[row.channel]):
                found[FireId(row.alert_id, row.generation)].append(_delivery_of(row))
        return found

    async def _record(
        self, connection: AsyncConnection, fire_id: FireId, *, told_at: datetime, due_at: datetime
    ) -> bool:
        """Add the rows of a fire and say whether they were: not when they are there.

        A fire that its account took with it gets none, also when that happens right now.
        """
        is_fire = (FIRES.c.alert_id == fire_id.alert_id) & (FIRES.c.generation == fire_id.generation)
        locking = select(FIRES.c.user_id).where(is_fire).with_for_update()
        user_id = (await connection.execute(locking)).scalar_one_or_none()
        begun = select(DELIVERIES.c.alert_id).where(_is_mail_of(fire_id))
        if user_id is None or (await connection.execute(begun)).one_or_none() is not None:
            return False
        event, email = not_begun(fire_id, self._sender)
        key = {"alert_id": fire_id.alert_id, "generation": fire_id.generation, "user_id": user_id}
        told = {"state": DeliveryState.SENT.value, "attempts": 1, "sent_at": told_at, "due_at": None}
        waiting = {"state": DeliveryState.WAITING.value, "attempts": 0, "sent_at": None, "due_at": due_at}
        rows = [
            {**key, **told, "channel": event.channel.value, "message_id": event.message_id},
            {**key, **waiting, "channel": email.channel.value, "message_id": email.message_id},
        ]
        await connection.execute(insert(DELIVERIES), rows)
        return True

    async def _others(
        self, connection: AsyncConnection, fire_id: FireId, address_digest: str, now: datetime
    ) -> OtherMails:
        """Count the other mails to an address, while nobody else does."""
        await _lock_address(connection, address_digest)
        columns = ADDRESS_MAILS.c
        is_trying = (columns.state == AddressMailState.TRYING.value) & (columns.tried_at > now - self._policy.lease)
        is_sent = (columns.state == AddressMailState.SENT.value) & (columns.tried_at > now - HOUR)
        counts = select(func.count().filter(is_sent), func.count().filter(is_trying))
        is_other = (columns.address_digest == address_digest) & ~_is_counted_of(fire_id)
        sent, under_way = (await connection.execute(counts.select_from(ADDRESS_MAILS).where(is_other))).one()
        return OtherMails(sent, under_way)

    async def _claim(self, connection: AsyncConnection, fire_id: FireId, now: datetime) -> MailTry | Outcome | None:
        row = (await connection.execute(select(DELIVERIES).where(_is_mail_of(fire_id)).with_for_update())).one_or_none()
        if row is None or row.state != DeliveryState.WAITING.value or row.due_at > now:
            return None
        is_fire = (FIRES.c.alert_id == fire_id.alert_id) & (FIRES.c.generation == fire_id.generation)
        receipt = (await connection.execute(select(FIRES).where(is_fire))).one()
        ended = self._policy.before_try(receipt.committed_at, now=now)
        values: dict[str, object] = {"attempts": row.attempts + 1, "due_at": now + self._policy.lease}
        if ended is not None:
            values = _columns_of(ended)
        await connection.execute(update(DELIVERIES).where(_is_mail_of(fire_id)).values(values))
        if ended is not None:
            return ended
        return MailTry(fire_of(receipt), Freshness(receipt.freshness), receipt.user_id, row.attempts + 1)


def _to_be_tried(claimed: MailTry | Outcome | None) -> MailTry | None:
    if isinstance(claimed, Outcome):
        _count_mail(claimed)
        return None
    return claimed


def _count_mail(outcome: Outcome) -> None:
    counted = _BY_STATE[outcome.state] if outcome.reason is None else _BY_REASON[outcome.reason]
    counted.inc()


async def _lock_address(connection: AsyncConnection, address_digest: str) -> None:
    """Count the mails to an address alone until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # SQLite has one writer at a time anyway.
        key = {"space": ADDRESS_LOCK, "address": int(address_digest[:8], 16) - (1 << 31)}
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(CAST(:space AS integer), CAST(:address AS integer))"), key
        )


async def _count_to_limit(connection: AsyncConnection, fire_id: FireId, address_digest: str, now: datetime) -> None:
    key = {"alert_id": fire_id.alert_id, "generation": fire_id.generation, "address_digest": address_digest}
    await connection.execute(delete(ADDRESS_MAILS).where(_is_counted_of(fire_id)))
    await connection.execute(insert(ADDRESS_MAILS).values(**key, state=AddressMailState.TRYING.value, tried_at=now))


async def _recount(connection: AsyncConnection, fire_id: FireId, **values: object) -> None:
    await connection.execute(update(ADDRESS_MAILS).where(_is_counted_of(fire_id)).values(values))


def _is_counted_of(fire_id: FireId) -> ColumnElement[bool]:
    columns = ADDRESS_MAILS.c
    return (columns.alert_id == fire_id.alert_id) & (columns.generation == fire_id.generation)


def _is_mail_of(fire_id: FireId) -> ColumnElement[bool]:
    columns = DELIVERIES.c
    is_of_fire = (columns.alert_id == fire_id.alert_id) & (columns.generation == fire_id.generation)
    return is_of_fire & (columns.channel == Channel.EMAIL.value)


def _columns_of(outcome: Outcome) -> dict[str, object]:
    return {
        "state": outcome.state.value,
        "reason": outcome.reason and outcome.reason.value,
        "sent_at": outcome.sent_at,
        "due_at": outcome.due_at,
    }


def _delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        channel=Channel(row.channel),
        state=DeliveryState(row.state),
        message_id=row.message_id,
        reason=None if row.reason is None else DeliveryReason(row.reason),
        attempts=row.attempts,
        sent_at=row.sent_at,
    )
