"""Users, passwords, sessions and signed tokens of Bourse."""
