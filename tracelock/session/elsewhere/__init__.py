"""Real code whose schedules run in other processes: what travels there, and what comes back."""
