"""What children can do, by name. A module here imports its SDK when its job runs, never before."""

from collections.abc import Mapping

from brokers.providers.children.jobs import breeze, kite
from brokers.providers.children.jobs.registry import Job

JOBS: Mapping[str, Job] = {
    "kite_portfolio": Job(kite.portfolio, kite.refusal_of),
    "breeze_portfolio": Job(breeze.portfolio, breeze.refusal_of),
    "breeze_security_master": Job(breeze.security_master, breeze.refusal_of),
}
