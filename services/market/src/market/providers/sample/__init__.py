"""A made-up market of real names: seed and clock decide every price, in any process and whenever it was started.

`noise` is the randomness, `daily` makes each day's bar, `path` the ticks that agree with it, `hours` says when the
simulated venues trade, and `source` offers all of it as a source of prices.
"""
