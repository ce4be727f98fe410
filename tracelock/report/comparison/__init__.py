"""A comparison of the backends as text and as a page."""
