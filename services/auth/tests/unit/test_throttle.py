import pytest

from auth.domain.throttle import LoginThrottled, network_of


@pytest.mark.parametrize(
    ("client_address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("unix:/run/gateway.sock", "unknown"),
        ("192.0.2.7, 10.0.0.1", "unknown"),
    ],
)
def test_a_network_is_what_one_subscriber_has(client_address: str, network: str) -> None:
    assert network_of(client_address) == network


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1 s"), (0.2, "1 s"), (1.0, "1 s"), (59.01, "60 s")])
def test_a_wait_is_told_in_whole_seconds_never_too_few(seconds: float, told: str) -> None:
    assert LoginThrottled(seconds).message.endswith(told)
