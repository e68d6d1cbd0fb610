"""How often vendors were asked."""
