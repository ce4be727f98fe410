"""What the steps of tasks touch: see ``collecting``."""
