import random

import pytest

from harness.slopes import slope_of

TIMES = [10.0 * look for look in range(120)]


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_hardly_ever_growth(seed: int) -> None:
    chance = random.Random(seed)
    slope = slope_of(TIMES, [100 + chance.gauss(0, 1) for _ in TIMES])
    assert abs(slope.per_hour) < 4 * slope.half_width
    assert not slope.is_growth(beyond=5)


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_in_noise_is_seen(seed: int) -> None:
    chance = random.Random(seed)
    slope = slope_of(TIMES, [100 + 12 * at / 3_600 + chance.gauss(0, 0.5) for at in TIMES])
    assert slope.is_growth(beyond=1)
    assert slope.per_hour == pytest.approx(12, abs=3)


def test_what_never_changes_does_not_grow() -> None:
    assert not slope_of(TIMES, [7.0] * len(TIMES)).is_growth(beyond=0)
