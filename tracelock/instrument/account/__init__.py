"""What an exploration of real code has seen, and what it has not."""
