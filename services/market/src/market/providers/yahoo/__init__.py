"""Yahoo Finance as a source, over yfinance: every vendor's word stays in this package."""
