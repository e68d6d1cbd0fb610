"""How often a vendor may be asked, as operators write it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS_OF_UNIT = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
MAX_CALLS = 1_000_000

_FORM = re.compile(r"(?P<calls>[0-9]{1,7})\s*/\s*(?P<unit>[a-z]+)")


class BudgetInvalid(ValueError):
    """A budget is not written as one."""

    def __init__(self, part: str) -> None:
        units = ", ".join(SECONDS_OF_UNIT)
        super().__init__(
            f"{part!r} is no limit of calls; write one to {MAX_CALLS} calls a {units}, "
            "each unit once, such as 300/minute;250/day"
        )


@dataclass(frozen=True, slots=True)
class Window:
    """So many calls in any stretch of so many seconds."""

    calls: int
    seconds: int


def parse_budget(text: str) -> Sequence[Window]:
    """Read `300/minute;250/day`, the shortest window first.

    Raises:
        BudgetInvalid: a part is not such a limit, a unit is there twice, or there is no part at all.
    """
    windows: dict[int, Window] = {}
    for part in map(str.strip, text.split(";")):
        window = _read_part(part)
        if window.seconds in windows:
            raise BudgetInvalid(part)
        windows[window.seconds] = window
    return [windows[seconds] for seconds in sorted(windows)]


def _read_part(part: str) -> Window:
    found = _FORM.fullmatch(part.lower())
    if found is None or found["unit"] not in SECONDS_OF_UNIT or not 1 <= int(found["calls"]) <= MAX_CALLS:
        raise BudgetInvalid(part)
    return Window(int(found["calls"]), SECONDS_OF_UNIT[found["unit"]])
