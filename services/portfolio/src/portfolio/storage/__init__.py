"""Portfolio's database: tables, and the migrations that make them."""
