"""A made-up market of real names: seed and clock decide every price, in any process and whenever it was started.

`noise` is the randomness, `daily` makes each day's bar, `path` the ticks that agree with it, `hours` says when the
simulated venues trade; `history`, `intraday` and `after_market` answer from these. `companies` says what the companies
are like, `books` keeps their figures, `fundamentals`, `profiles` and `earnings` answer from them. `ratings`, `news` and
`treasury` stand alone, `made_up` has the names they use, and `source` offers all of it.
"""
