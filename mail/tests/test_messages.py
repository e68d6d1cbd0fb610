"""What a letter is on the wire."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from mail.messages import Letter, Picture, compose, message_id_of

MOMENT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
SENDER = "Bourse <bourse@example.com>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def letter(**fields: Any) -> Letter:
    known: dict[str, Any] = {"id": "alert-1", "to": "asha@example.com", "subject": "TCS fell", "text": "below 100\n"}
    return Letter(**{**known, **fields}, dated_at=MOMENT)


def read(sent: Letter, sender: str = SENDER) -> EmailMessage:
    message: EmailMessage = message_from_bytes(compose(sent, sender).as_bytes(), policy=default)
    return message


def body(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


def test_a_letter_is_read_as_it_was_written() -> None:
    message = read(letter(html="<p>below <b>100</b></p>", headers={"List-Unsubscribe": "<https://example.com/u>"}))
    assert (message["From"], message["To"]) == (SENDER, "asha@example.com")
    assert (message["Subject"], message["Date"]) == ("TCS fell", "Mon, 02 Mar 2026 09:15:00 +0000")
    assert message["Message-ID"] == message_id_of("alert-1", SENDER) == "<alert-1@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert body(message) == "below 100\n"
    assert body(message, "html").strip() == "<p>below <b>100</b></p>"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"html": "<p>x</p>"},
        {"html": '<img src="cid:chart">', "pictures": [Picture("chart", PNG), Picture("other", PNG)]},
        {"subject": "टीसीएस ₹100 से नीचे", "text": "₹" * 500},
    ],
)
def test_equal_letters_make_equal_bytes(fields: dict[str, Any]) -> None:
    assert compose(letter(**fields), SENDER).as_bytes() == compose(letter(**fields), SENDER).as_bytes()


def test_the_edges_of_parts_are_not_in_them() -> None:
    message = compose(letter(html='<img src="cid:chart">', pictures=[Picture("chart", PNG)]), SENDER)
    boundaries = [part.get_boundary() for part in message.walk() if part.is_multipart()]
    assert len(set(boundaries)) == len(boundaries) == 2
    assert boundaries != [p.get_boundary() for p in compose(letter(id="b", html="<p>"), SENDER).walk()][:2]


def test_a_picture_is_shown_by_its_name() -> None:
    message = read(letter(html='<img src="cid:chart">', pictures=[Picture("chart", PNG)]))
    (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<chart>", "inline")
    assert picture.get_content() == PNG


@pytest.mark.parametrize(
    "fields",
    [
        {"to": "asha@example.com\r\nBcc: ravi@example.com"},
        {"to": "asha@example.com\nBcc: ravi@example.com"},
        {"to": "asha@example.com, ravi@example.com"},
        {"subject": "TCS\r\nBcc: ravi@example.com"},
        {"subject": "TCS\nX: y"},
        {"subject": "TCS\rX: y"},
        {"headers": {"List-Unsubscribe": "<x>\r\nBcc: ravi@example.com"}},
        {"headers": {"Bcc\r\nX": "y"}},
        {"headers": {"Bcc: x\nX": "y"}},
        {"id": "x>\r\nBcc: <ravi@example.com"},
        {"id": "x y"},
        {"id": ""},
    ],
)
def test_nothing_slips_another_header_in(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever words the library finds
        compose(letter(**fields), SENDER)


@pytest.mark.parametrize(
    "to", ["", "asha", "asha@", "@example.com", "a b@example.com", "आशा@example.com", "a@b@c", "a@straße.example"]
)
def test_what_cannot_be_written_to_is_refused(to: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever words the library finds
        compose(letter(to=to), SENDER)


def test_a_domain_is_written_in_its_ascii_form() -> None:
    assert read(letter(to="asha@bücher.example"))["To"] == "asha@xn--bcher-kva.example"


@pytest.mark.parametrize("subject", ["टीसीएस ₹100 से नीचे", "€" * 300, "x" * 2_000, "TCS 📉"])
def test_any_subject_arrives_whole_on_short_lines(subject: str) -> None:
    wire = compose(letter(subject=subject), SENDER).as_bytes()
    assert max(map(len, wire.split(b"\r\n"))) <= 998
    assert wire.isascii()
    assert read(letter(subject=subject))["Subject"] == subject


@pytest.mark.parametrize("text", ["x" * 5_000 + "\n", "₹" * 5_000 + "\n", "a\n.\nb\n", "From me\n", "tab\tend \n"])
def test_any_text_arrives_whole_on_short_lines(text: str) -> None:
    sent = letter(text=text, html=f"<p>{text}</p>")
    wire = compose(sent, SENDER).as_bytes()
    assert max(map(len, wire.split(b"\r\n"))) <= 998
    assert wire.isascii()
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert body(read(sent)) == text
    assert body(read(sent), "html").rstrip("\n") == f"<p>{text}</p>".rstrip("\n")


def test_a_long_header_arrives_whole() -> None:
    address = f"<https://example.com/{'x' * 600}>"
    sent = letter(headers={"List-Unsubscribe": address, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"})
    message = read(sent)
    assert message["List-Unsubscribe"].replace(" ", "") == address
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("bourse@example.com", "bourse@example.com"),
        ("Börse <bourse@example.com>", "Börse <bourse@example.com>"),
        ('"Bourse, Inc." <bourse@example.com>', '"Bourse, Inc." <bourse@example.com>'),
    ],
)
def test_a_sender_may_have_any_name(sender: str, shown: str) -> None:
    assert read(letter(), sender)["From"] == shown
