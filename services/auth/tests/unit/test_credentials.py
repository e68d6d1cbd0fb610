import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from auth.domain.credentials import (
    EmailInvalid,
    NameInvalid,
    PasswordTooLong,
    PasswordTooShort,
    parse_email,
    parse_name,
    parse_new_email,
    parse_new_password,
)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Asha@example.com", "asha@EXAMPLE.com"),
        ("asha@bücher.example.com", "asha@xn--bcher-kva.example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("STRASSE@example.com", "stra\u00dfe@example.com"),
    ],
)
def test_two_spellings_of_one_address_have_one_key(first: str, second: str) -> None:
    assert parse_email(first).key == parse_email(second).key


def test_an_address_is_kept_as_written_but_for_its_domain() -> None:
    assert parse_email("Asha.Rao+bourse@Example.COM").address == "Asha.Rao+bourse@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asha",
        "asha@",
        "@example.com",
        "asha@example",
        "asha@localhost",
        " asha@example.com",
        "asha@example.com\r\nBcc: all@example.com",
        "asha@exa mple.com",
        "asha\x00@example.com",
        "asha@[127.0.0.1]",
        "Asha <asha@example.com>",
        '"a b"@example.com',
        "a" * 65 + "@example.com",
        "a" * 250 + "@example.com",
        "a" * 1_000_000,
        "asha@" + "".join(map(chr, range(0xE0020, 0xE0080))) + ".com",
        '"asha"' + "\u1ab0" * 200 + "@example.com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EmailInvalid) as refused:
        parse_email(text)
    assert refused.value.reason == "EMAIL_INVALID"
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "text",
    [
        "ﬁnance@example.com",
        "stra\u00dfe@example.com",
        "jos\u00e9@example.com",
        "आशा@example.com",
        "a@stra\u00dfe.example",
    ],
)
def test_what_mails_cannot_be_sent_to_is_no_new_accounts_though_it_may_be_an_old_ones(text: str) -> None:
    assert parse_email(text).key
    with pytest.raises(EmailInvalid, match="mails cannot be sent to it"):
        parse_new_email(text)


@pytest.mark.parametrize("text", ["Asha.Rao+bourse@Example.COM", "asha@b\u00fccher.example.com"])
def test_what_mails_can_be_sent_to_is_a_new_accounts(text: str) -> None:
    assert parse_new_email(text) == parse_email(text)


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        parsed = parse_email(text)
    except EmailInvalid:
        return
    assert len(parsed.address) <= 254
    assert parse_email(parsed.address).key == parsed.key
    assert parse_email(parsed.address).digest == parsed.digest


@given(st.emails())
def test_any_address_can_register_or_is_refused(text: str) -> None:
    try:
        parsed = parse_new_email(text)
    except EmailInvalid:
        return
    assert parsed.address.isascii() or parsed.address.rpartition("@")[0].isascii()


def test_a_password_needs_eight_characters() -> None:
    with pytest.raises(PasswordTooShort):
        parse_new_password(SecretStr("1234567"))
    assert len(parse_new_password(SecretStr("12345678"))) == 8


def test_characters_are_counted_not_bytes() -> None:
    with pytest.raises(PasswordTooShort):
        parse_new_password(SecretStr("पासवर्ड"))


def test_a_password_has_at_most_1024_characters() -> None:
    assert len(parse_new_password(SecretStr("x" * 1024))) == 1024
    with pytest.raises(PasswordTooLong):
        parse_new_password(SecretStr("x" * 1025))


def test_a_password_typed_on_another_keyboard_is_the_same() -> None:
    decomposed, composed = SecretStr("cafe\u0301 au lait"), SecretStr("caf\u00e9 au lait")
    assert parse_new_password(decomposed) == parse_new_password(composed)


def test_a_refusal_does_not_repeat_the_password() -> None:
    with pytest.raises(PasswordTooShort) as refused:
        parse_new_password(SecretStr("hunter2"))
    assert "hunter2" not in repr(refused.value)
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("name", ["A", "Asha Rao", "N" * 100, "李小龍", "क्\u200dष", "O'Brien-Smith"])
def test_a_name_is_kept(name: str) -> None:
    assert parse_name(f" {name} ") == name


@pytest.mark.parametrize("name", ["", "   ", "N" * 101, "a\nb", "a\x00b", "a\u2028b", "a\u202eb", "\x7f", "a\tb"])
def test_a_name_that_is_blank_long_or_holds_controls_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        parse_name(name)


def test_a_name_is_counted_in_the_form_that_is_stored() -> None:
    assert parse_name("\u0958" * 50) == "\u0915\u093c" * 50
    with pytest.raises(NameInvalid):
        parse_name("\u0958" * 51)


def test_a_name_too_long_as_written_is_not_composed() -> None:
    with pytest.raises(NameInvalid):
        parse_name("e\u0301" * 51)
