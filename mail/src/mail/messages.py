"""What a message is on the wire: the same bytes each time it is made from the same words."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

WIRE = SMTP.clone(max_line_length=200, utf8=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG shown in the HTML as `cid:<name>`."""

    name: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be told to one person.

    Attributes:
        id: stable and unique among all letters of the suite, letters, digits, `-`, `_` and `.`; becomes the
            `Message-ID`'s left side.
        to: the address.
        subject: one line.
        text: the plain version, which is enough by itself.
        html: the same for those who see HTML; absent when there is none.
        dated_at: the `Date`; the moment of what is told, so that a repeat is the same letter.
        headers: further headers, such as `List-Unsubscribe`.
        pictures: what the HTML shows.
    """

    id: str
    to: str
    subject: str
    text: str
    dated_at: datetime
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


def message_id_of(letter_id: str, sender: str) -> str:
    """Return the `Message-ID` of a letter, angle brackets included."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{letter_id}@{domain}>"


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Return the message of a letter; equal letters make equal bytes.

    Raises:
        ValueError: an address or a header cannot be written, such as one with a line break.
    """
    name, address = parseaddr(sender)
    message = EmailMessage(policy=WIRE)
    message["From"] = Address(name, addr_spec=address)
    message["To"] = Address(addr_spec=letter.to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.dated_at)
    message["Message-ID"] = message_id_of(letter.id, sender)
    message["Auto-Submitted"] = "auto-generated"
    for header, value in letter.headers.items():
        message[header] = value
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
        html = message.get_body(("html",))
        for picture in letter.pictures:
            html.add_related(  # type: ignore[union-attr]  # it was added two lines above
                picture.png, "image", "png", cid=f"<{picture.name}>", disposition="inline"
            )
    _name_boundaries(message, letter.id)
    return message


def _name_boundaries(message: EmailMessage, letter_id: str) -> None:
    # Left alone they are random, and a repeated letter would be another one.
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        digest = hashlib.sha256(f"{letter_id}:{number}".encode()).hexdigest()
        part.set_boundary(f"=-{digest[:40]}")
