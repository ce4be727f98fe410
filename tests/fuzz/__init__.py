"""Inputs that nobody meant well: mutated scenarios and traces, given to every reader."""
