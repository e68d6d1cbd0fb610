"""How messages show what callers wrote: quoted where it could be anything, and never longer than a message can be."""

from collections.abc import Iterable

MAX_SHOWN_LENGTH = 40
# A message travels twice in the trailers of an answer, which may have 8 KiB in all.
MAX_LISTED_LENGTH = 2_800


def shown(text: str) -> str:
    """Return what a caller wrote, quoted, shortened and with nothing in it that a terminal or a header would act on."""
    return ascii(text if len(text) <= MAX_SHOWN_LENGTH else text[:MAX_SHOWN_LENGTH] + "...")


def listed(parts: Iterable[str], *, separator: str = ", ", max_length: int = MAX_LISTED_LENGTH) -> str:
    """Join parts; those that would make it too long are counted instead, the first is always there."""
    ordered = list(parts)
    length = 0
    for number, part in enumerate(ordered):
        # A percent sign takes three characters on its way.
        length += len(separator) + len(part) + 2 * part.count("%")
        if number and length - len(separator) > max_length:
            return f"{separator.join(ordered[:number])}{separator}and {len(ordered) - number} more"
    return separator.join(ordered)
