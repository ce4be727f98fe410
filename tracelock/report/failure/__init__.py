"""A failure of real code as a story in source lines: which matter, and how they are drawn."""
