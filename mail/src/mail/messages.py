"""What a message is on the wire: the same bytes each time it is made from the same words."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

# Seven bits, because a server may take no more.
WIRE = SMTP.clone(max_line_length=200, utf8=False, cte_type="7bit")

_LETTER_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")


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


class LetterInvalid(ValueError):
    """A letter that cannot be written down; what is wrong is said without repeating it, for it may be an address."""

    def __init__(self, part: str) -> None:
        super().__init__(f"the letter's {part} cannot be written")


def mailbox_of(text: str) -> str:
    """Return an address as mail servers take it, its domain in ASCII.

    Raises:
        LetterInvalid: it is no address, has a local part that is not ASCII (which takes servers with SMTPUTF8), or a
            domain that Python's older IDNA would turn into another one's (`straße`).
    """
    try:
        address = Address(addr_spec=text)
        domain = address.domain.encode("idna").decode("ascii")
        is_same = domain.encode("ascii").decode("idna") == address.domain.lower() or domain == address.domain
    except (ValueError, IndexError, HeaderParseError) as error:
        raise LetterInvalid("address") from error
    if not address.username or not address.username.isascii() or not domain or "@" in domain or not is_same:
        raise LetterInvalid("address")
    return Address(username=address.username, domain=domain).addr_spec


def message_id_of(letter_id: str, sender: str) -> str:
    """Return the `Message-ID` of a letter, angle brackets included."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{letter_id}@{domain}>"


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Return the message of a letter; equal letters make equal bytes.

    Raises:
        ValueError: an address or a header cannot be written, such as one with a line break.
    """
    _require_names(letter)
    name, address = parseaddr(sender)
    message = EmailMessage(policy=WIRE)
    message["From"] = Address(name, addr_spec=mailbox_of(address))
    message["To"] = Address(addr_spec=mailbox_of(letter.to))
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


def _require_names(letter: Letter) -> None:
    if _LETTER_ID.fullmatch(letter.id) is None:
        raise LetterInvalid("id")
    if not all(_HEADER_NAME.fullmatch(header) for header in letter.headers):
        raise LetterInvalid("headers")


def _name_boundaries(message: EmailMessage, letter_id: str) -> None:
    # Left alone they are random, and a repeated letter would be another one.
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        digest = hashlib.sha256(f"{letter_id}:{number}".encode()).hexdigest()
        part.set_boundary(f"=-{digest[:40]}")
