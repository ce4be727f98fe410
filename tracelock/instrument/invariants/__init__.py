"""What must hold between any two steps of real code."""
