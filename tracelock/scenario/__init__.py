"""Documents to checked models to worker programs. Importing this imports none of it."""
