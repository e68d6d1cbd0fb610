import asyncio
import logging

import pytest

from chassis import tasks
from chassis.tasks import end, running


async def test_loops_run_until_the_block_is_left_and_have_ended_then() -> None:
    steps: list[str] = []

    async def loop(name: str) -> None:
        steps.append(f"{name} began")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append(f"{name} ended")

    async with running(loop("first"), loop("second")):
        await asyncio.sleep(0)
        assert steps == ["first began", "second began"]
    assert steps[2:] == ["first ended", "second ended"]


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.01)
    answers: list[asyncio.Future[None]] = []

    async def ask() -> None:
        while True:
            answers.append(asyncio.get_running_loop().create_future())
            try:
                await answers[-1]
            except asyncio.CancelledError:
                # What asyncio.wait_for does before Python 3.12 when the answer is there already.
                if len(answers) > 2:
                    raise

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    await end(task)
    assert (task.cancelled(), len(answers)) == (True, 3)


async def test_a_cancellation_that_comes_with_the_answer_ends_the_loop_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.01)
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        await asyncio.wait_for(answer, 1)
        await asyncio.Event().wait()

    async with running(ask()), asyncio.timeout(5):
        await asyncio.sleep(0)
        answer.set_result(None)


async def test_a_loop_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    is_ended = False

    async def fail() -> None:
        raise ZeroDivisionError

    async def go_on() -> None:
        nonlocal is_ended
        try:
            await asyncio.Event().wait()
        finally:
            is_ended = True

    with caplog.at_level(logging.ERROR):
        async with running(fail(), go_on()):
            await asyncio.sleep(0.01)
            assert not is_ended
            (record,) = caplog.records
    assert is_ended
    assert record.message == "background loop failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
