"""A search that is divided among processes or machines, or kept in a checkpoint."""
