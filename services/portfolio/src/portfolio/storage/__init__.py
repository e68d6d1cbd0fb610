"""Portfolio's database: tables, the migrations that make them, and one repository for each aggregate."""
