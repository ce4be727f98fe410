"""Real Python code watched: its accesses and locks become steps of the controller."""
