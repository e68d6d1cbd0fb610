"""What brokers tells of itself whenever somebody asks, from what its parts know anyway."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from brokers.domain.brokers import Broker
from brokers.domain.feeding import Feeding
from brokers.domain.lanes import Lanes
from brokers.domain.quote_desk import BrokerDesk
from brokers.domain.sessions import FeedState, SessionBook
from brokers.domain.sync_desk import SyncDesk
from brokers.feed.kite_ticker import KiteTicker
from brokers.feed.publisher import TickPublisher
from brokers.providers.budgets import SharedBudget
from brokers.providers.children.nursery import Nursery
from chassis.clock import Clock
from chassis.metrics import Values, reading

UNKNOWN: Values = {}


@contextmanager
def telling_of_children(nursery: Nursery) -> Iterator[None]:
    """Tell how many children there are, until the block is left."""
    with (
        reading("bourse_brokers_children", "Children that run.", lambda: nursery.children),
        reading("bourse_brokers_children_awaited", "Jobs that wait for a free child.", lambda: nursery.waiting),
    ):
        yield


@contextmanager
def telling_of_syncs(desk: SyncDesk, lanes: Lanes) -> Iterator[None]:
    """Tell how syncs stand, until the block is left."""
    with (
        reading("bourse_brokers_syncs_running", "Syncs that ask a broker.", lambda: lanes.running),
        reading("bourse_brokers_syncs_waiting", "Syncs that wait in the queue.", lambda: lanes.waiting),
        reading(
            "bourse_brokers_resting",
            "Whether a broker is left alone because it kept failing: 1 or 0.",
            lambda: {(broker.value, "syncs"): float(desk.is_resting(broker)) for broker in Broker},
            labels=["broker", "use"],
        ),
    ):
        yield


@contextmanager
def telling_of_sessions(
    book: SessionBook, desks: Mapping[Broker, BrokerDesk], *, budget: SharedBudget, feeding: Feeding, clock: Clock
) -> Iterator[None]:
    """Tell how the server-wide sessions, what is asked over them and the feed stand, until the block is left."""
    with (
        reading(
            "bourse_brokers_session_active",
            "Whether a broker's server-wide session can be used: 1 or 0.",
            lambda: {(broker.value,): float(book.usable(broker) is not None) for broker in Broker},
            labels=["broker"],
        ),
        reading(
            "bourse_brokers_session_remaining_seconds",
            "How long a broker's session lives; absent without one.",
            lambda: _remaining(book, clock),
            labels=["broker"],
        ),
        reading(
            "bourse_brokers_resting",
            "Whether a broker is left alone because it kept failing: 1 or 0.",
            lambda: {(broker.value, "quotes"): float(desk.is_resting) for broker, desk in desks.items()},
            labels=["broker", "use"],
        ),
        reading(
            "bourse_brokers_budget_shared",
            "Whether replicas share the brokers' budgets: 1, or 0 without Redis and while it is away.",
            lambda: float(budget.is_shared),
        ),
        reading(
            "bourse_brokers_feed_state",
            "How Zerodha's feed stands: 1 for the state it is in.",
            lambda: {(state.value.lower(),): float(feeding.status.state is state) for state in FeedState},
            labels=["state"],
        ),
    ):
        yield


@contextmanager
def telling_of_ticks(ticker: KiteTicker, publisher: TickPublisher, *, clock: Clock) -> Iterator[None]:
    """Tell what comes from Kite's ticker and goes to NATS, until the block is left."""
    with (
        reading("bourse_brokers_ticker_links", "Connections that there should be.", lambda: ticker.links),
        reading("bourse_brokers_ticker_links_connected", "Connections that there are.", lambda: ticker.connected_links),
        reading("bourse_brokers_ticker_instruments", "Instruments subscribed to.", lambda: ticker.subscribed),
        reading(
            "bourse_brokers_ticker_frames_malformed",
            "Messages of the ticker that could not be read.",
            lambda: ticker.malformed_frames,
            is_counter=True,
        ),
        reading(
            "bourse_brokers_tick_age_seconds", "Time since a price came; absent before.", lambda: _age(ticker, clock)
        ),
        reading(
            "bourse_brokers_ticks_received",
            "Ticks that came from the ticker.",
            lambda: ticker.received_ticks,
            is_counter=True,
        ),
        reading(
            "bourse_brokers_ticks",
            "Ticks by what became of them.",
            lambda: {("published",): publisher.published_ticks, ("dropped",): publisher.dropped_ticks},
            labels=["outcome"],
            is_counter=True,
        ),
        reading("bourse_brokers_ticks_waiting", "Ticks that wait for the next slice.", lambda: publisher.waiting_ticks),
    ):
        yield


def _remaining(book: SessionBook, clock: Clock) -> Values:
    sessions = {broker: book.usable(broker) for broker in Broker}
    now = clock.now()
    return {
        (broker.value,): (session.expires_at - now).total_seconds()
        for broker, session in sessions.items()
        if session is not None
    }


def _age(ticker: KiteTicker, clock: Clock) -> Values:
    last_tick_at = ticker.status.last_tick_at
    return UNKNOWN if last_tick_at is None else (clock.now() - last_tick_at).total_seconds()
