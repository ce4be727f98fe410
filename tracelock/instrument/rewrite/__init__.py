"""The user's modules: parsed, rewritten so that shared accesses call a hook, and loaded."""
