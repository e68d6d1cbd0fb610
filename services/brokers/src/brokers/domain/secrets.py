"""A credential that shows itself to nobody by accident."""

import hmac
from typing import NoReturn, Self


class SecretLeaving(TypeError):
    """Something tried to serialise or copy a secret."""

    def __init__(self) -> None:
        super().__init__("a secret cannot be serialised or copied")


class Secret:
    """A string that cannot be printed, formatted, pickled or copied; `reveal` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._text

    def forget(self) -> None:
        """Let go of the text; what was revealed meanwhile lives as long as whoever has it."""
        self._text = ""

    def matches(self, other: "Secret") -> bool:
        """Say whether both are the same, in a time that does not tell where they differ."""
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise SecretLeaving

    def __copy__(self) -> NoReturn:
        raise SecretLeaving

    def __deepcopy__(self, _: object) -> Self:
        raise SecretLeaving
