"""The optional line for every request: which operation was asked, never what a client wrote into the address.

People put credentials where they do not belong; a path or query as it came would carry them to the disk.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.dispatch import RouteTable

NO_ROUTE = "(no such path)"
_PATH = 2  # among uvicorn's arguments: the client's address, method, path with query, HTTP version, status


class _RoutesAlone(logging.Filter):
    def __init__(self, table: RouteTable) -> None:
        super().__init__()
        self._table = table

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) > _PATH:
            found = self._table.find(str(record.args[_PATH]).partition("?")[0])
            route = NO_ROUTE if found is None else found.path
            record.args = (*record.args[:_PATH], route, *record.args[_PATH + 1 :])
        return True


@contextmanager
def routes_alone(table: RouteTable) -> Iterator[None]:
    """Let uvicorn's access log name routes, such as `/api/alerts/{user_id}`, until the block is left."""
    log = logging.getLogger("uvicorn.access")
    only = _RoutesAlone(table)
    log.addFilter(only)
    try:
        yield
    finally:
        log.removeFilter(only)
