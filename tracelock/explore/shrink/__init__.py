"""Smaller failures: shrinking a schedule or a scenario, and the nearest passing schedule."""
