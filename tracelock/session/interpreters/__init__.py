"""Which interpreter an exploration is of, and what each of them can do."""
