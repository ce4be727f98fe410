"""Where the running interpreter, with its GIL, may let another thread go on between two steps."""
