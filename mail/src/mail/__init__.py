"""How services write to people: settings, messages and mailers."""
