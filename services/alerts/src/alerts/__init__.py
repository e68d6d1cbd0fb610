"""Price alerts: who waits for which price, the matcher that watches the ticks, and fires that happen exactly once."""
