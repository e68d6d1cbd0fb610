"""Financial Modeling Prep, a vendor of market data over HTTP."""
