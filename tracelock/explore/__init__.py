"""The search for a bad schedule, and what is done with it: shrink, confirm, compare."""
