"""What is known of instruments without asking anybody."""
