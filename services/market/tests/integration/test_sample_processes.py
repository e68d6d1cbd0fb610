import hashlib
import subprocess
import sys
from datetime import date

from market.providers.reference.listing import read_listing
from market.providers.sample.daily import DailyPrices


def test_every_process_makes_the_same_prices() -> None:
    program = (
        "import hashlib, datetime as d\n"
        "from market.providers.sample.daily import DailyPrices\n"
        "from market.providers.reference.listing import read_listing\n"
        "prices = DailyPrices.make(read_listing(), 7, d.date(2026, 1, 7))\n"
        "print(hashlib.sha256(prices.high.tobytes() + prices.close.tobytes() + prices.volume.tobytes()).hexdigest())\n"
    )
    others = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    prices = DailyPrices.make(read_listing(), 7, date(2026, 1, 7))
    own = hashlib.sha256(prices.high.tobytes() + prices.close.tobytes() + prices.volume.tobytes()).hexdigest()
    assert others == {own}
