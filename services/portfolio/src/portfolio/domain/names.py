"""What users call their watchlists and portfolios."""

import unicodedata

from chassis.errors import Code, ServiceError

MAX_NAME_LENGTH = 100

_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# The same as in auth's display names: these reorder the text around them. Other format characters are parts of Indian
# words and of emoji; what is not assigned yet may be a newer emoji.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN_CATEGORIES = frozenset({"Cf", "Zs"})


class NameInvalid(ServiceError):
    """Nothing can be called so."""

    code = Code.INVALID_ARGUMENT
    reason = "NAME_INVALID"

    def __init__(self) -> None:
        super().__init__(
            f"a name has 1 to {MAX_NAME_LENGTH} characters, none of them a control character, and not blanks alone"
        )


def require_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises:
        NameInvalid: it is blank, too long, or holds a control character.
    """
    if len(name) > MAX_NAME_LENGTH or any(map(_is_control, name)) or not any(map(_is_seen, name)):
        raise NameInvalid


def _is_control(character: str) -> bool:
    return character in _BIDI_CONTROLS or unicodedata.category(character) in _CONTROL_CATEGORIES


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN_CATEGORIES
