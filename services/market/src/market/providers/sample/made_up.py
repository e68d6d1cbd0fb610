"""The names that made-up people, firms and addresses of the sample market have; none of them can be real.

Hosts end in `.invalid` and telephone numbers lie in the range kept for fiction, so nobody is reached by mistake.
"""

from urllib.parse import quote

HOST = "sample.invalid"
PUBLISHER = "Bourse Sample"
MARK = "[Simulated]"

PEOPLE = (
    "Ada Sample",
    "Ana Lyst",
    "Bill Board",
    "Guess Timate",
    "Ima Ginary",
    "Max Random",
    "Noah Body",
    "Polly Nomial",
    "Rand O'Seed",
    "Stan Dard",
    "Stoch Astic",
    "Vera Simula",
)
FIRMS = (
    "Fictional Capital",
    "Imaginary Research",
    "Made-Up Securities",
    "Nowhere Bank",
    "Placeholder Partners",
    "Pretend & Co.",
    "Random Walk Advisors",
    "Synthetic Markets",
)


def address_of(*parts: str) -> str:
    """Return an address on a host that cannot exist."""
    return f"https://{HOST}/{'/'.join(quote(part, safe='') for part in parts)}"
