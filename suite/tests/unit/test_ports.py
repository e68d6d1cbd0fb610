from pathlib import Path

import pytest

from suite.ports import FIRST_PORT, LAST_PORT, NoFreePort, choose_ports, is_port_free


def test_the_same_run_dir_gets_the_same_ports() -> None:
    first = choose_ports(Path("/a"), 6, is_free=lambda _: True)
    assert first == choose_ports(Path("/a"), 6, is_free=lambda _: True)
    assert len(set(first)) == 6


def test_two_run_dirs_get_different_ports() -> None:
    first = choose_ports(Path("/a"), 6, is_free=lambda _: True)
    second = choose_ports(Path("/b"), 6, is_free=lambda _: True)
    assert not set(first) & set(second)


def test_taken_ports_are_passed_over() -> None:
    wished = choose_ports(Path("/a"), 3, is_free=lambda _: True)
    chosen = choose_ports(Path("/a"), 3, is_free=lambda port: port != wished[1])
    assert chosen == [wished[0], wished[2], wished[2] + 1]


def test_the_search_goes_round_the_whole_range() -> None:
    assert choose_ports(Path("/a"), 1, is_free=lambda port: port == FIRST_PORT) == [FIRST_PORT]
    assert choose_ports(Path("/a"), 1, is_free=lambda port: port == LAST_PORT) == [LAST_PORT]


def test_a_range_without_a_free_port_is_an_error() -> None:
    with pytest.raises(NoFreePort, match="no free loopback port between 20000 and 29999"):
        choose_ports(Path("/a"), 1, is_free=lambda _: False)


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    assert not is_port_free(18_000, "192.0.2.1")
