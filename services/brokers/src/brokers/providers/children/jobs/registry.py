"""What a job is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from brokers.providers.children.refusals import ChildRefused
from brokers.providers.children.wire import JSON

Secrets: TypeAlias = Mapping[str, str]
Parameters: TypeAlias = Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Job:
    """One thing a child can do.

    Attributes:
        run: does it with the secrets and parameters it was given and returns JSON.
        refusal_of: says what an exception of `run` means; it sees the vendor's texts and repeats none.
    """

    run: Callable[[Secrets, Parameters], JSON]
    refusal_of: Callable[[Exception], ChildRefused]
