"""Scenarios and traces as plain Python programs that stand alone. Nothing here runs anything."""
