"""Dynamic partial-order reduction: one execution of each inequivalent kind."""
