"""Answers of several sources in order: the first that may know and answers is believed.

Each answer is given again for as long as its kind lives, to this process and, where there is a shared cache, to all
replicas. Who asks for what is being fetched waits for that one call. A source that fails or takes long is passed over;
when none answers, what was last answered is given, marked stale, for a while. Real and simulated sources never stand in
one list.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from chassis.tasks import end
from market.domain.answers import Answer
from market.domain.capabilities import Capability, NothingKnown, Source
from market.domain.flights import Flights
from market.domain.guards import SourceGuard, Witness, no_witness
from market.domain.instruments import Instrument
from market.domain.lives import NO_ANSWER, RETRY, Lives
from market.domain.ports import SharedAnswers, SharedShelf
from market.domain.shelf import Kept, Shelf
from market.domain.source_failures import SourceFailed, SourcesMixed, SourcesUnavailable
from market.domain.source_order import in_order

Value = TypeVar("Value")

# Callers of market wait five seconds by default: an answer, or why there is none, reaches them before.
PATIENCE_SECONDS = 4.5
# A call that takes longer than callers wait is let finish, so that its answer is there for the next.
CALL_SECONDS = 8.0
MAX_ENTRIES = 2_000
# Bars and statements are large, and five years of yields are a megabyte; a history's bars have a store of their own.
MAX_ENTRIES_OF = {
    Capability.DAILY_HISTORY: 64,
    Capability.INTRADAY_BARS: 128,
    Capability.STATEMENTS: 500,
    Capability.TREASURY: 32,
}

Keys = Collection[str]
Question = Callable[[Any, Sequence[str]], Awaitable[Mapping[str, Value]]]


class CapabilityMissing(ServiceError):
    """No source that is configured answers this kind of question."""

    code = Code.UNAVAILABLE
    reason = "CAPABILITY_MISSING"
    retry_after_seconds = 3_600.0

    def __init__(self, capability: Capability, sources: Sequence[str]) -> None:
        self.capability = capability
        listed = ", ".join(sources) or "none"
        super().__init__(f"no configured source has {_words(capability)}; the sources are: {listed}")


class NoAnswer(ServiceError):
    """Every source that may know answered, and none knows anything of it."""

    code = Code.NOT_FOUND
    reason = "NO_ANSWER"

    def __init__(self, capability: Capability, instrument: Instrument | None = None) -> None:
        self.capability = capability
        of = "" if instrument is None else f" of {instrument.id}"
        super().__init__(f"no source knows any {_words(capability)}{of}")


def _words(capability: Capability) -> str:
    return capability.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A source that is asked one kind of question."""

    source: Source
    guard: SourceGuard


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """Why there is no answer: what failed, or, when nothing did, that nobody knows."""

    failures: tuple[SourceFailed, ...] = ()


class AnswerDesk:
    """All sources of one process.

    Args:
        sources: all real or all simulated, in the order they are preferred.
        clock: what the time is.
        order: another order, or fewer sources, for some capabilities, by the sources' names.
        lives: how long answers serve.
        shared: what replicas keep together; answers of simulated sources are not put there.
        patience_seconds: how long a caller waits at most.
        call_seconds: how long one call to a source may take.
        witness: is told of each call.

    Attributes:
        guards: each source's circuit breakers by its name, for what else asks the same sources.

    Raises:
        SourcesMixed: some sources are real, some simulated.
        OrderInvalid: the order names a source that is not there or lacks the capability.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        *,
        order: Mapping[Capability, Sequence[str]] | None = None,
        lives: Lives,
        shared: SharedAnswers | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        call_seconds: float = CALL_SECONDS,
        witness: Witness = no_witness,
    ) -> None:
        if len({source.is_simulated for source in sources}) > 1:
            raise SourcesMixed([source.name for source in sources])
        self._sources = tuple(sources)
        self._clock = clock
        self._in_order = {each: in_order(each, self._sources, order or {}) for each in Capability}
        self._lives = lives
        self._shared = None if any(source.is_simulated for source in sources) else shared
        self._patience_seconds = patience_seconds
        self._call_seconds = call_seconds
        self.guards = {source.name: SourceGuard(source.name, clock, witness) for source in sources}
        self._answers: dict[Capability, Answers[Any]] = {}

    @property
    def failing(self) -> Sequence[str]:
        """Return the names of the sources that are being left alone."""
        return [name for name, guard in self.guards.items() if guard.is_failing]

    def answers(self, capability: Capability, value_type: Any) -> "Answers[Any]":
        """Return the answers to one kind of question.

        Args:
            capability: the kind.
            value_type: the type of each answer's value, such as `tuple[Article, ...]`, by which replicas write and read
                it; None for values that only this process keeps. The first caller's counts.
        """
        if capability not in self._answers:
            shared = self._shared is not None and value_type is not None
            self._answers[capability] = Answers(
                capability,
                [_Asked(source, self.guards[source.name]) for source in self._in_order[capability]],
                self._clock,
                lives=self._lives,
                configured=[source.name for source in self._sources],
                shared=self._shared.shelf(capability.value, value_type) if self._shared and shared else None,
                patience_seconds=self._patience_seconds,
                call_seconds=self._call_seconds,
            )
        return self._answers[capability]

    async def close(self) -> None:
        """End the calls that are under way."""
        await asyncio.gather(*(each.close() for each in self._answers.values()))


class Answers(Generic[Value]):
    """The answers to one kind of question, made by an `AnswerDesk`."""

    def __init__(
        self,
        capability: Capability,
        asked: Sequence[_Asked],
        clock: Clock,
        *,
        lives: Lives,
        configured: Sequence[str],
        shared: SharedShelf[Value] | None,
        patience_seconds: float,
        call_seconds: float,
    ) -> None:
        self._capability = capability
        self._asked = asked
        self._clock = clock
        self._lives = lives
        self._configured = configured
        self._asked_names = [each.source.name for each in asked]
        self._shared = shared
        self._patience_seconds = patience_seconds
        self._call_seconds = call_seconds
        self._shelf: Shelf[Value] = Shelf(MAX_ENTRIES_OF.get(capability, MAX_ENTRIES))
        self._flights: Flights[Answer[Value] | _Unanswered] = Flights()
        self._calls: set[asyncio.Task[Mapping[str, Answer[Value]]]] = set()

    async def one(
        self, key: str, ask: Callable[[Any], Awaitable[Value]], *, instrument: Instrument | None = None
    ) -> Answer[Value]:
        """Return the answer to one question.

        Args:
            key: names the question; the same key is always the same question.
            ask: asks a source.
            instrument: what it is about, which a source has to cover; None for a question about no instrument.

        Raises:
            CapabilityMissing: no configured source answers this kind of question.
            NoAnswer: the sources that may know answered that they know nothing.
            SourcesUnavailable: sources fail, and nothing that was kept serves.
        """

        async def question(source: Any, _: Sequence[str]) -> Mapping[str, Value]:
            return {key: await ask(source)}

        outcome = (await self._outcomes({key: instrument}, question))[key]
        if isinstance(outcome, Answer):
            return outcome
        if outcome.failures:
            raise SourcesUnavailable(outcome.failures, wanted=_words(self._capability))
        raise NoAnswer(self._capability, instrument)

    async def many(
        self,
        instruments: Sequence[Instrument],
        ask: Callable[[Any, Sequence[Instrument]], Awaitable[Mapping[str, Value]]],
    ) -> Mapping[str, Answer[Value]]:
        """Return the answers about instruments by id; one that no source knows, or that knows but fails, is left out.

        Args:
            instruments: what is asked about; the question is the same for each, at any time.
            ask: asks a source about those of them that no answer serves for.

        Raises:
            CapabilityMissing: no configured source answers this kind of question.
            SourcesUnavailable: there is no answer at all, because sources fail.
        """
        wanted = {each.id: each for each in instruments}

        async def question(source: Any, keys: Sequence[str]) -> Mapping[str, Value]:
            return await ask(source, [wanted[key] for key in keys])

        outcomes = await self._outcomes(wanted, question)
        answers = {key: each for key, each in outcomes.items() if isinstance(each, Answer)}
        failures = [failure for each in outcomes.values() if isinstance(each, _Unanswered) for failure in each.failures]
        if failures and not answers:
            by_source = {failure.source: failure for failure in failures}
            raise SourcesUnavailable(list(by_source.values()), wanted=_words(self._capability))
        return answers

    def kept(self, key: str) -> Answer[Value] | None:
        """Return the answer to a question that serves now; None when sources would have to be asked."""
        outcome = self._serving([key]).get(key)
        return outcome if isinstance(outcome, Answer) else None

    def not_yet(self) -> SourcesUnavailable:
        """Return what to tell who cannot wait any longer."""
        return SourcesUnavailable(self._late(), wanted=_words(self._capability))

    async def close(self) -> None:
        """End the calls that are under way."""
        await end(*self._flights.under_way, *self._calls)

    # --- what callers wait for

    async def _outcomes(
        self, wanted: Mapping[str, Instrument | None], question: Question[Value]
    ) -> Mapping[str, Answer[Value] | _Unanswered]:
        if not self._asked:
            raise CapabilityMissing(self._capability, self._configured)
        outcomes = self._serving(wanted)
        rest = [key for key in wanted if key not in outcomes]
        if not rest:
            return outcomes
        flights = self._flights.bring(rest, lambda keys: self._fetch({key: wanted[key] for key in keys}, question))
        landed, _ = await asyncio.wait(flights, timeout=self._patience_seconds)
        for flight in landed:
            outcomes |= {key: outcome for key, outcome in flight.result().items() if key in wanted}
        # A flight that waits for its slowest may have brought others already.
        outcomes |= self._serving([key for key in rest if key not in outcomes])
        late = self._late()
        return outcomes | {key: self._stand_in(key, late) for key in rest if key not in outcomes}

    def _late(self) -> tuple[SourceFailed, ...]:
        return tuple(SourceFailed(name, "has not answered yet") for name in self._asked_names)

    def _serving(self, keys: Keys) -> dict[str, Answer[Value] | _Unanswered]:
        now = self._clock.now()
        kept = {key: kept for key in keys if (kept := self._shelf.get(key)) is not None and kept.serves_at(now)}
        return {key: each.answer or _Unanswered() for key, each in kept.items()}

    def _stand_in(self, key: str, failures: tuple[SourceFailed, ...]) -> Answer[Value] | _Unanswered:
        """Return what was last answered, which then serves for some seconds as it is; what failed when nothing was."""
        now = self._clock.now()
        kept = self._shelf.get(key)
        if kept is None or kept.answer is None or not kept.stands_in_at(now):
            return _Unanswered(failures)
        answer = replace(kept.answer, is_stale=True, serves_until=now + RETRY)
        self._shelf.put(key, Kept(answer, now, answer.serves_until, kept.stands_in_until))
        return answer

    # --- a flight: what replicas were answered, then one source after another

    async def _fetch(
        self, wanted: Mapping[str, Instrument | None], question: Question[Value]
    ) -> Mapping[str, Answer[Value] | _Unanswered]:
        await self._look_up(wanted)
        served = self._serving(wanted)
        inquiry: _Inquiry[Value] = _Inquiry({key: each for key, each in wanted.items() if key not in served})
        for asked in self._asked:
            keys = inquiry.open_keys(self._capability, asked)
            if keys:
                call = self._call(asked, {key: wanted[key] for key in keys}, question)
                await inquiry.wait(keys, self._started(call), seconds=self._patience_seconds / len(self._asked))
        await inquiry.wait_for_late()
        return served | {key: self._outcome(key, inquiry) for key in inquiry.wanted}

    def _outcome(self, key: str, inquiry: "_Inquiry[Value]") -> Answer[Value] | _Unanswered:
        answer = inquiry.found.get(key)
        if answer is not None:
            return answer
        if inquiry.failures[key]:
            return self._stand_in(key, tuple(inquiry.failures[key]))
        now = self._clock.now()
        self._shelf.put(key, Kept(None, now, now + NO_ANSWER, now))
        return _Unanswered()

    def _started(
        self, call: Coroutine[Any, Any, Mapping[str, Answer[Value]]]
    ) -> "asyncio.Task[Mapping[str, Answer[Value]]]":
        """Return the call as a task of its own, which goes on when nobody waits for it any more."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._landed)
        return task

    def _landed(self, call: "asyncio.Task[Mapping[str, Answer[Value]]]") -> None:
        self._calls.discard(call)
        with suppress(asyncio.CancelledError):
            call.exception()  # asked for, so that a failure nobody waits for any more is not complained about

    async def _call(
        self, asked: _Asked, wanted: Mapping[str, Instrument | None], question: Question[Value]
    ) -> Mapping[str, Answer[Value]]:
        asked.guard.admit(self._capability)
        try:
            values = await asked.guard.ask(
                self._capability, lambda: question(asked.source, list(wanted)), seconds=self._call_seconds
            )
        except NothingKnown:
            return {}
        return await self._keep(asked.source, {key: values[key] for key in wanted if key in values}, wanted)

    async def _keep(
        self, source: Source, values: Mapping[str, Value], wanted: Mapping[str, Instrument | None]
    ) -> Mapping[str, Answer[Value]]:
        now = self._clock.now()
        answers: dict[str, Answer[Value]] = {}
        for key, value in values.items():
            life = self._lives.life_of(self._capability, wanted[key])
            answers[key] = Answer(value, source.name, now, life.serves_until, is_simulated=source.is_simulated)
            self._shelf.put(key, Kept(answers[key], now, life.serves_until, life.stands_in_until))
        if self._shared is not None and answers:
            last = max(self._lives.stands_in_until(self._capability, each.serves_until) for each in answers.values())
            await self._shared.keep(answers, ttl_seconds=(last - now).total_seconds())
        return answers

    async def _look_up(self, keys: Keys) -> None:
        """Take over what other replicas were answered, also what only stands in for sources that fail."""
        if self._shared is None:
            return
        answers = await self._shared.read(keys)
        now = self._clock.now()
        for key, answer in answers.items():
            kept = self._shelf.get(key)
            is_newer = kept is None or kept.answer is None or kept.answer.answered_at < answer.answered_at
            if is_newer and answer.is_of(self._asked_names, now):
                stands_in_until = self._lives.stands_in_until(self._capability, answer.serves_until)
                self._shelf.put(key, Kept(answer, now, answer.serves_until, stands_in_until))


class _Inquiry(Generic[Value]):
    """One round through the sources.

    A source that takes long is passed over, and listened to again when no other knows.
    """

    def __init__(self, wanted: Mapping[str, Instrument | None]) -> None:
        self.wanted = wanted
        self.found: dict[str, Answer[Value]] = {}
        self.failures: dict[str, list[SourceFailed]] = {key: [] for key in wanted}
        self._late: list[tuple[Sequence[str], asyncio.Task[Mapping[str, Answer[Value]]]]] = []

    def open_keys(self, capability: Capability, asked: _Asked) -> list[str]:
        """Return what is not answered yet and the source may know."""
        return [
            key
            for key, instrument in self.wanted.items()
            if key not in self.found and (instrument is None or asked.source.covers(capability, instrument))
        ]

    async def wait(
        self, keys: Sequence[str], call: "asyncio.Task[Mapping[str, Answer[Value]]]", *, seconds: float
    ) -> None:
        await asyncio.wait({call}, timeout=seconds)
        if not call.done():
            self._late.append((keys, call))
            return
        self._note(keys, call)

    async def wait_for_late(self) -> None:
        for keys, call in self._late:
            if not self.found.keys() >= set(keys):
                await asyncio.wait({call})
                self._note(keys, call)

    def _note(self, keys: Sequence[str], call: "asyncio.Task[Mapping[str, Answer[Value]]]") -> None:
        try:
            self.found = dict(call.result()) | self.found
        except SourceFailed as failure:
            for key in keys:
                self.failures[key].append(failure)
