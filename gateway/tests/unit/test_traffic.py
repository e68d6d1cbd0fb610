import pytest

from chassis.metrics import value_of
from gateway.app import create_api
from gateway.dispatch import RouteTable
from gateway.traffic import Traffic


def table() -> RouteTable:
    found = create_api().router.routes[0]
    assert isinstance(found, RouteTable)
    return found


@pytest.fixture(scope="module")
def routes() -> RouteTable:
    return table()


@pytest.fixture
def traffic(routes: RouteTable) -> Traffic:
    return Traffic(routes.find)


@pytest.mark.parametrize(
    ("path", "route", "service"),
    [
        ("/api/index/snapshot", "/api/index/snapshot", "market"),
        ("/api/index/snapshot/", "/api/index/snapshot", "market"),
        ("/api/stock/price/AAPL,MSFT", "/api/stock/price/{symbols}", "market"),
        ("/api/alerts/me", "/api/alerts/{user_id}", "alerts"),
        ("/api/portfolio/sync", "/api/portfolio/sync", "brokers"),
        ("/api/auth/login", "/api/auth/login", "auth"),
        ("/api/watchlists/7", "/api/watchlists/{user_id}", "portfolio"),
        ("/api/stream", "/api/stream", "market"),
        ("/livez", "/livez", None),
        ("/wp-login.php", "none", None),
    ],
)
def test_a_path_is_counted_as_its_route(traffic: Traffic, path: str, route: str, service: str | None) -> None:
    for _ in range(2):
        tally = traffic.tally_of(path)

        assert (tally.route, tally.service) == (route, service)


def test_answers_are_told_by_route_method_and_status(traffic: Traffic) -> None:
    for path, method, status in [
        ("/api/alerts/1", "GET", 200),
        ("/api/alerts/2", "GET", 200),
        ("/api/alerts/2", "POST", 400),
        ("/a", "GET", 404),
        ("/b", "PROPFIND", 405),
        ("/b", "MKCOL", 405),
    ]:
        traffic.tally_of(path).count(method, status, 0.001)

    assert traffic.requests() == {
        ("/api/alerts/{user_id}", "GET", "200"): 2,
        ("/api/alerts/{user_id}", "POST", "400"): 1,
        ("none", "GET", "404"): 1,
        ("none", "other", "405"): 2,
    }


def test_how_long_an_answer_took_falls_into_its_bucket(traffic: Traffic) -> None:
    def within(bound: str) -> float:
        labels = {"route": "/api/treasury/rates", "le": bound}
        return value_of("bourse_http_seconds_bucket", labels) or 0.0

    before = within("0.001"), within("0.0025")
    traffic.tally_of("/api/treasury/rates").count("GET", 200, 0.002)

    assert (within("0.001"), within("0.0025")) == (before[0], before[1] + 1)


def test_paths_that_are_remembered_are_bounded(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.traffic.MAX_KNOWN_PATHS", 3)
    for number in range(10):
        traffic.tally_of(f"/api/alerts/{number}")
        traffic.tally_of(f"/nothing/{number}")
    traffic.tally_of("/api/alerts/" + "9" * 2_000)

    assert len(traffic._by_path) <= 3
    assert set(traffic._by_path.values()) == {traffic.tally_of("/api/alerts/1")}
