"""What children can do, by name. A module here imports its SDK when its job runs, never before."""

from collections.abc import Mapping

from brokers.providers.children.jobs import breeze, breeze_prices, kite, kite_prices
from brokers.providers.children.jobs.registry import Job

JOBS: Mapping[str, Job] = {
    "kite_portfolio": Job(kite.portfolio, kite.refusal_of),
    "kite_session": Job(kite_prices.session, kite.refusal_of),
    "kite_quotes": Job(kite_prices.quotes, kite_prices.refusal_within_session),
    "kite_instruments": Job(kite_prices.instruments, kite_prices.refusal_within_session),
    "breeze_portfolio": Job(breeze.portfolio, breeze.refusal_of),
    "breeze_session": Job(breeze_prices.session, breeze.refusal_of),
    "breeze_quotes": Job(breeze_prices.quotes, breeze.refusal_of),
    "breeze_security_master": Job(breeze.security_master, breeze.refusal_of),
}
