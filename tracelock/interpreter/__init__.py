"""Where a CPython with its GIL may let another thread go on: by the bytecode and the values met.

Knows nothing of tracelock but itself and imports the standard library alone: it also runs in
other interpreters.
"""
