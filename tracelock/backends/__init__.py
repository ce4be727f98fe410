"""How to wait, and how to do an operation on the real object: one module per kind of worker."""
