"""From the records of a free run to one order of its events."""
