"""How Financial Modeling Prep says that something is wrong; what any server can do wrong is in `Fault`."""

import json

from upstreams.faults import Fault

LIMIT = "Limit Reach . Please upgrade your plan."
BAD_KEY = "Invalid API KEY."
LEGACY = "Legacy Endpoint : it is for those who subscribed before."
EXCLUSIVE = "Exclusive Endpoint : This endpoint is not available under your current subscription"
SYMBOL_NOT_SOLD = "Premium Query Parameter: 'Special Endpoint : This value set for 'symbol' is not available"
LIMIT_NOT_SOLD = "Premium Query Parameter: 'Special Endpoint : This value set for 'limit' is not available"


def error(status: int, message: str) -> Fault:
    """Answer with the vendor's error object; status 200 happens too."""
    return Fault.answer(status, json.dumps({"Error Message": message}).encode())


def bad_key(status: int = 401) -> Fault:
    """Answer as to a key that nobody has."""
    return error(status, BAD_KEY)


def throttled() -> Fault:
    """Answer 429, which does not say when to come back."""
    return error(429, LIMIT)


def throttled_in_200() -> Fault:
    """Answer the same with a status of success."""
    return error(200, LIMIT)


def legacy() -> Fault:
    """Answer as calls of the old versions are answered."""
    return error(403, LEGACY)


def exclusive() -> Fault:
    """Answer as to a call that the plan does not have."""
    return error(403, EXCLUSIVE)


def not_sold(text: str = LIMIT_NOT_SOLD) -> Fault:
    """Answer 402 with plain text that says it is JSON."""
    return Fault.answer(402, text.encode())
