import pytest

from chassis.metrics import counter, exposition, histogram, reading, value_of

ASKED = counter("test_metrics_asked", "Asked.", ["outcome"])
TAKEN = histogram("test_metrics_seconds", "Taken.", bounds=[0.1, 1.0])


def lines_of(name: str) -> list[str]:
    return [line for line in exposition().decode().splitlines() if line.startswith(name)]


def test_what_is_counted_is_told() -> None:
    before = value_of("test_metrics_asked_total", {"outcome": "yes"}) or 0.0
    ASKED.labels("yes").inc()
    TAKEN.observe(0.5)
    assert value_of("test_metrics_asked_total", {"outcome": "yes"}) == before + 1
    assert value_of("test_metrics_seconds_bucket", {"le": "0.1"}) == 0.0
    assert 'test_metrics_seconds_bucket{le="1.0"} 1.0' in lines_of("test_metrics_seconds")


def test_a_reading_is_told_while_it_is_open() -> None:
    depth = 3.0
    with reading("test_metrics_depth", "Depth.", lambda: depth):
        depth = 4.0
        assert lines_of("test_metrics_depth") == ["test_metrics_depth 4.0"]
    assert lines_of("test_metrics_depth") == []


def test_readings_of_one_name_are_one_metric() -> None:
    with (
        reading("test_metrics_lag", "Lag.", lambda: {("a",): 1.0}, labels=["reader"]),
        reading("test_metrics_lag", "Lag.", lambda: {("b",): 2.0}, labels=["reader"]),
    ):
        assert lines_of("test_metrics_lag") == ['test_metrics_lag{reader="a"} 1.0', 'test_metrics_lag{reader="b"} 2.0']
        assert exposition().decode().count("# TYPE test_metrics_lag gauge") == 1


def test_a_reading_that_only_grows_is_a_counter() -> None:
    with reading("test_metrics_grown", "Grown.", lambda: 7.0, is_counter=True):
        assert lines_of("test_metrics_grown_total") == ["test_metrics_grown_total 7.0"]


def test_a_reading_that_fails_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> float:
        raise RuntimeError

    with reading("test_metrics_broken", "Broken.", fail), reading("test_metrics_whole", "Whole.", lambda: 1.0):
        assert lines_of("test_metrics_whole") == ["test_metrics_whole 1.0"]
        assert lines_of("test_metrics_broken") == []
    assert "metric not read" in caplog.text


def test_the_process_itself_is_told_of() -> None:
    assert (value_of("process_start_time_seconds") or 0.0) > 0.0
    assert lines_of("python_info{")
