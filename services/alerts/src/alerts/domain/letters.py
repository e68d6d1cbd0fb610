"""The mail that tells of a fire, made of facts that do not change, so that a repeat has the same bytes."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from urllib.parse import quote

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.deliveries import Contact, FireId, MailTry
from alerts.domain.fires import Fire
from alerts.domain.tape import EvaluatedTick
from alerts.domain.targets import format_target
from mail.messages import Letter
from mail.notice import NOTICE

LIST = "alerts"
INDIA = timezone(timedelta(hours=5, minutes=30))
INDIAN_EXCHANGES = ("NSE", "BSE")
SIMULATED = "SIMULATED PRICE. It was made up for trying Bourse out: no market has traded at it. Do not act on it."
# Whoever registers an address that is not theirs must not write to its owner.
UNVERIFIED = "Verify your e-mail address to see your note here."
LATE = "The tick came while ticks were not being evaluated, and was evaluated afterwards."
_MEANINGS = {
    Freshness.LIVE: "live",
    Freshness.DELAYED: "delayed by its source",
    Freshness.STALE: "stale: its source had not renewed it for a while",
    Freshness.CLOSED: "from a market that was closed",
    Freshness.SIMULATED: "simulated",
}
_BODY = "margin:0;padding:16px;background:#f4f5f7;font-family:Arial,Helvetica,sans-serif;color:#1c2733"
_CARD = "max-width:480px;margin:0 auto;padding:16px;background:#ffffff;border-radius:8px"
_TITLE = "margin:0 0 12px;font-size:20px;line-height:1.3"
_WARNING = "margin:0 0 12px;padding:12px;background:#b3261e;color:#ffffff;font-weight:bold;border-radius:6px"
_TABLE = "width:100%;border-collapse:collapse;font-size:15px;line-height:1.4"
_NAME = "padding:6px 12px 6px 0;color:#5b6875;text-align:left;vertical-align:top;font-weight:normal;white-space:nowrap"
_VALUE = "padding:6px 0;vertical-align:top;white-space:pre-wrap;word-break:break-word"
_SMALL = "margin:16px 0 0;font-size:12px;line-height:1.4;color:#5b6875"

_Rows = Sequence[tuple[str, str]]


def letter_of(mail: MailTry, contact: Contact, *, public_url: str) -> Letter:
    """Return the mail that tells of a fire.

    Args:
        mail: the fire.
        contact: whom it is told; of them only the address and the token that ends the list.
        public_url: where people reach the gateway.
    """
    title = _title(mail)
    rows = _rows(mail)
    page = f"{public_url}/account#unsubscribe={quote(contact.unsubscribe_token)}&list={LIST}"
    one_click = f"{public_url}/api/email/unsubscribe?token={quote(contact.unsubscribe_token)}&list={LIST}"
    return Letter(
        id=FireId.of(mail.fire).letter_id,
        to=contact.email,
        subject=title,
        text=_text(mail, title, rows, page),
        html=_html(mail, title, rows, page),
        dated_at=mail.fire.committed_at,
        headers={
            "List-Unsubscribe": f"<{one_click}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )


def _title(mail: MailTry) -> str:
    fire = mail.fire
    # It may have been there long before the alert was set.
    title = f"{fire.symbol} is {_target(fire)}: your {fire.type.value} alert fired"
    return f"[simulated] {title}" if _is_simulated(mail) else title


def _target(fire: Fire) -> str:
    direction = "below" if fire.type is AlertType.BUY else "above"
    return f"at or {direction} {format_target(fire.price)}"


def _rows(mail: MailTry) -> _Rows:
    fire = mail.fire
    before = "none since the alert was set, or not known" if fire.before is None else _tick(fire, fire.before)
    rows = [
        (
            "Alert",
            f"{fire.type.value} {fire.symbol} ({fire.instrument}) {_target(fire)}",
        ),
        ("Fired at", _price(fire.tick.price)),
        ("Source", fire.tick.source),
        ("As of", _moment(fire, fire.tick.at)),
        ("Freshness", "SIMULATED" if _is_simulated(mail) else _MEANINGS[mail.freshness]),
        ("Fired by", _tick(fire, fire.tick)),
        ("Before it", before),
        ("Committed", _moment(fire, fire.committed_at)),
    ]
    if fire.crossed_during_gap:
        rows.append(("Evaluated", LATE))
    if fire.note is not None:
        rows.insert(1, ("Your note", fire.note if mail.shows_note else UNVERIFIED))
    return rows


def _text(mail: MailTry, title: str, rows: _Rows, page: str) -> str:
    warning = [SIMULATED, ""] if _is_simulated(mail) else []
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:<{width}}{value}".replace("\n", "\n" + " " * width) for name, value in rows]
    ending = ["", NOTICE, "", f"To get no more of these mails: {page}", ""]
    return "\n".join([title, "", *warning, *lines, *ending])


def _html(mail: MailTry, title: str, rows: _Rows, page: str) -> str:
    warning = f'<p style="{_WARNING}">{escape(SIMULATED)}</p>' if _is_simulated(mail) else ""
    cells = "\n".join(
        f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th><td style="{_VALUE}">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title></head>\n"
        f'<body style="{_BODY}"><div style="{_CARD}">\n'
        f'<h1 style="{_TITLE}">{escape(title)}</h1>\n{warning}\n'
        f'<table style="{_TABLE}">\n{cells}\n</table>\n'
        f'<p style="{_SMALL}">{escape(NOTICE)}</p>\n'
        f'<p style="{_SMALL}"><a href="{escape(page)}">Get no more of these mails</a></p>\n'
        "</div></body></html>\n"
    )


def _tick(fire: Fire, tick: EvaluatedTick) -> str:
    identity = f"{tick.publisher_id}, epoch {tick.epoch}, shard {tick.shard}, batch {tick.sequence}"
    freshness = "" if tick.freshness is None else f", {_MEANINGS[tick.freshness]}"
    return f"{_price(tick.price)} from {tick.source}{freshness}\n{_moment(fire, tick.at)}\n{identity}"


def _price(price: float) -> str:
    """Write a tick's price as the decimal it stands for, without an exponent."""
    return f"{Decimal(repr(price)):f}"


def _moment(fire: Fire, moment: datetime) -> str:
    written = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC"
    if fire.instrument.partition(":")[0] not in INDIAN_EXCHANGES:
        return written
    return f"{written} ({moment.astimezone(INDIA):%Y-%m-%d %H:%M:%S} IST)"


def _is_simulated(mail: MailTry) -> bool:
    return mail.freshness is Freshness.SIMULATED
