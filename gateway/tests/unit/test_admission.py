import asyncio

import pytest

from chassis.metrics import value_of
from gateway.admission import LEAST_PLACES, MAX_LAG_SECONDS, Admission, Overloaded, Place

ROUTE = "/api/x"
LATE_SECONDS = MAX_LAG_SECONDS * 2


def taken(admission: Admission, count: int, *, service: str | None = None) -> list[Place]:
    places = [admission.place_for(ROUTE, service) for _ in range(count)]
    for place in places:
        place.take()
    return places


def shed(why: str) -> float:
    return value_of("bourse_http_shed_total", {"why": why}) or 0.0


def test_past_the_bound_nobody_else_is_admitted() -> None:
    admission, before = Admission(2), shed("in_flight")
    taken(admission, 2)

    with pytest.raises(Overloaded) as refused:
        admission.place_for(ROUTE, None).take()
    assert refused.value.status == 503
    assert refused.value.code == "UPSTREAM_UNAVAILABLE"
    assert refused.value.headers == {"Retry-After": "1"}
    assert shed("in_flight") - before == 1
    assert admission.in_flight == 2


def test_a_place_that_is_given_back_is_somebody_elses() -> None:
    admission = Admission(2)
    first, second = taken(admission, 2)

    assert first.give_back()
    assert not first.give_back()
    assert admission.in_flight == 1
    third = admission.place_for(ROUTE, None)
    third.take()
    third.take()
    assert admission.in_flight == 2
    assert second.give_back()
    assert third.give_back()
    assert admission.in_flight == 0


def test_one_service_does_not_get_all_places() -> None:
    admission, before = Admission(4), shed("service")
    slow = taken(admission, 3, service="market")

    with pytest.raises(Overloaded):
        admission.place_for(ROUTE, "market").take()
    assert shed("service") - before == 1
    other = admission.place_for(ROUTE, "alerts")
    assert other.is_to_be_had
    slow[0].give_back()
    admission.place_for(ROUTE, "market").take()


@pytest.mark.parametrize("route", ["/livez", "/readyz", "/api/health"])
def test_probes_need_no_place(route: str) -> None:
    admission = Admission(2)
    taken(admission, 2)
    place = admission.place_for(route, None)

    assert place.is_to_be_had
    place.take()
    assert admission.in_flight == 2
    assert not place.give_back()


def test_while_the_event_loop_is_late_there_are_fewer_places() -> None:
    admission, before = Admission(100), shed("lag")
    taken(admission, 80)
    admission.note_lag(LATE_SECONDS)
    admission.note_lag(LATE_SECONDS)

    assert admission.places == pytest.approx(49)
    with pytest.raises(Overloaded):
        admission.place_for(ROUTE, None).take()
    assert shed("lag") - before == 1


def test_there_are_more_places_again_once_the_event_loop_is_in_time() -> None:
    admission = Admission(100)
    taken(admission, 80)
    for _ in range(2):
        admission.note_lag(LATE_SECONDS)
    admission.note_lag(MAX_LAG_SECONDS)
    assert admission.places == pytest.approx(50)
    for _ in range(200):
        admission.note_lag(0.0)

    assert admission.places == 100
    assert admission.place_for(ROUTE, None).is_to_be_had


def test_a_late_event_loop_with_little_to_do_takes_no_places_away() -> None:
    admission = Admission(100)
    taken(admission, 50)
    admission.note_lag(LATE_SECONDS)

    assert admission.places == 100


@pytest.mark.parametrize(("most", "least"), [(100, LEAST_PLACES), (8, 8)])
def test_some_places_stay_however_late_it_is(most: int, least: int) -> None:
    admission = Admission(most)
    taken(admission, most)
    for _ in range(50):
        admission.note_lag(LATE_SECONDS)

    assert admission.places == least


async def test_the_lag_is_looked_at_while_the_gateway_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admission.MAX_LAG_SECONDS", -1.0)
    monkeypatch.setattr("gateway.admission.LOOK_SECONDS", 0.001)
    admission = Admission(100)
    taken(admission, 100)
    async with admission.watching(), asyncio.timeout(5):
        while admission.places > LEAST_PLACES:
            await asyncio.sleep(0.001)
