"""What market keeps in its own database."""
