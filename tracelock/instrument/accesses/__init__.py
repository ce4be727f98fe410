"""Accesses of rewritten code: which are to shared data, and what each reads and writes."""
