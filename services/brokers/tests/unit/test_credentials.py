import pytest

from brokers.domain.credentials import CredentialField, checksum, credential, is_simulated
from brokers.domain.errors import CredentialsMalformed
from brokers.domain.secrets import Secret


@pytest.mark.parametrize("text", ["k", "a1-B2_c3", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "x" * 512])
def test_printable_characters_make_a_credential(text: str) -> None:
    assert credential(CredentialField.API_KEY, text).reveal() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "is missing"), ("x" * 513, "longer than 512"), ("a b", "no blanks"), ("a\t", "printable"), ("ü", "ASCII")],
)
def test_anything_else_is_refused_by_the_fields_name_alone(text: str, problem: str) -> None:
    with pytest.raises(CredentialsMalformed) as caught:
        credential(CredentialField.API_SECRET, text)
    assert str(caught.value).startswith("api_secret ")
    assert problem in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_checksum_is_64_hexadecimal_digits() -> None:
    assert checksum("0aF9" * 16).reveal() == "0aF9" * 16


@pytest.mark.parametrize("text", ["", "f" * 63, "f" * 65, "g" * 64])
def test_another_checksum_is_refused(text: str) -> None:
    with pytest.raises(CredentialsMalformed, match="checksum must be 64"):
        checksum(text)


def test_a_sandbox_key_is_simulated_where_there_is_a_sandbox() -> None:
    assert is_simulated(Secret("sandbox-demo"), has_sandbox=True)
    assert not is_simulated(Secret("demo"), has_sandbox=True)
    assert not is_simulated(Secret("demo-sandbox-"), has_sandbox=False)


def test_a_sandbox_key_without_a_sandbox_is_told_how_to_get_one() -> None:
    with pytest.raises(CredentialsMalformed, match=r"make sandbox.*BROKERS_SANDBOX_URL"):
        is_simulated(Secret("sandbox-demo"), has_sandbox=False)
