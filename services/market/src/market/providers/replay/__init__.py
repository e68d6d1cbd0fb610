"""Real history as ticks: `parse` reads the bars of a file, `tape` makes ticks of them, `source` plays them."""
