"""What brokers' credentials look like in a body, and how one that does not is refused without repeating any of it."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, WithJsonSchema, model_validator

MAX_CREDENTIAL_LENGTH = 512
CHECKSUM_LENGTH = 64

_CREDENTIAL = re.compile(rf"[!-~]{{1,{MAX_CREDENTIAL_LENGTH}}}")
_ADMIN_SECRET = re.compile(rf"[ -~]{{1,{MAX_CREDENTIAL_LENGTH}}}")
_CHECKSUM = re.compile(rf"[0-9A-Fa-f]{{{CHECKSUM_LENGTH}}}")


def _credential(value: Any) -> Any:
    if not isinstance(value, str) or _CREDENTIAL.fullmatch(value) is None:
        raise ValueError(f"must be 1 to {MAX_CREDENTIAL_LENGTH} printable ASCII characters without blanks")
    return value


def _admin_secret(value: Any) -> Any:
    if not isinstance(value, str) or _ADMIN_SECRET.fullmatch(value) is None:
        raise ValueError(f"must be 1 to {MAX_CREDENTIAL_LENGTH} printable ASCII characters")
    return value


def _checksum(value: Any) -> Any:
    if not isinstance(value, str) or _CHECKSUM.fullmatch(value) is None:
        raise ValueError(f"must be {CHECKSUM_LENGTH} hexadecimal digits")
    return value


def _schema(characters: str, *, min_length: int, max_length: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": min_length,
            "maxLength": max_length,
            "pattern": f"^[{characters}]+$",
        }
    )


Credential = Annotated[
    SecretStr, BeforeValidator(_credential), _schema("!-~", min_length=1, max_length=MAX_CREDENTIAL_LENGTH)
]
Checksum = Annotated[
    SecretStr, BeforeValidator(_checksum), _schema("0-9A-Fa-f", min_length=CHECKSUM_LENGTH, max_length=CHECKSUM_LENGTH)
]
AdminSecret = Annotated[
    SecretStr, BeforeValidator(_admin_secret), _schema(" -~", min_length=1, max_length=MAX_CREDENTIAL_LENGTH)
]


class Credentials(BaseModel):
    """A body of credentials."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _has_known_names_alone(cls, body: Any) -> Any:
        # An unknown name is not repeated, as elsewhere: a secret pasted in the wrong place is one.
        if isinstance(body, dict) and not body.keys() <= cls.model_fields.keys():
            raise ValueError(f"The body has a field that is none of {', '.join(cls.model_fields)}")
        return body

    def revealed(self) -> dict[str, str]:
        """Return what was given in plain text, for the one call that needs it."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: secret.get_secret_value() for name, secret in given.items() if secret is not None}
