"""Strategies: each decides at a choice, and does nothing else."""
