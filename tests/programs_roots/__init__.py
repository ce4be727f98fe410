"""Programs with one bug each; ``program.py`` says how they are written."""
