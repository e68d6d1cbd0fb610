"""Portfolio's rules: rows, prices, profit and loss, and the days they are kept for; pure but for clock and ports."""
