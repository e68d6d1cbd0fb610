"""What brokers' credentials look like in a body, and how one that does not is refused without repeating any of it."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, WithJsonSchema, model_validator

MAX_CREDENTIAL_LENGTH = 512
CHECKSUM_LENGTH = 64

_CREDENTIAL = re.compile(rf"[\x20-\x7e]{{1,{MAX_CREDENTIAL_LENGTH}}}")
_CHECKSUM = re.compile(rf"[0-9A-Fa-f]{{{CHECKSUM_LENGTH}}}")


def _credential(value: Any) -> Any:
    if not isinstance(value, str) or _CREDENTIAL.fullmatch(value) is None:
        raise ValueError(f"must be 1 to {MAX_CREDENTIAL_LENGTH} printable ASCII characters")
    return value


def _checksum(value: Any) -> Any:
    if not isinstance(value, str) or _CHECKSUM.fullmatch(value) is None:
        raise ValueError(f"must be {CHECKSUM_LENGTH} hexadecimal digits")
    return value


Credential = Annotated[
    SecretStr,
    BeforeValidator(_credential),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": 1,
            "maxLength": MAX_CREDENTIAL_LENGTH,
            "pattern": r"^[ -~]+$",
        }
    ),
]
Checksum = Annotated[
    SecretStr,
    BeforeValidator(_checksum),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": CHECKSUM_LENGTH,
            "maxLength": CHECKSUM_LENGTH,
            "pattern": "^[0-9A-Fa-f]+$",
        }
    ),
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
