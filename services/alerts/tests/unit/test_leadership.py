from alerts.feed.stream import FORGOTTEN_SECONDS, PROBATION_SECONDS, Leadership


class _Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_leader_is_believed_after_a_while() -> None:
    time = _Time()
    leadership = Leadership(time)
    assert not leadership.is_believed("a")
    time.now += PROBATION_SECONDS / 2
    assert not leadership.is_believed("a")
    time.now += PROBATION_SECONDS / 2
    assert leadership.is_believed("a")
    time.now += FORGOTTEN_SECONDS
    assert leadership.is_believed("a")


def test_of_two_who_both_say_that_they_lead_neither_is_believed() -> None:
    time = _Time()
    leadership = Leadership(time)
    for name in "ababab":
        assert not leadership.is_believed(name)
        time.now += PROBATION_SECONDS
    assert leadership.is_believed("b")


def test_one_that_was_not_heard_of_begins_anew() -> None:
    time = _Time()
    leadership = Leadership(time)
    leadership.is_believed("a")
    time.now += FORGOTTEN_SECONDS + 0.1
    assert not leadership.is_believed("a")
