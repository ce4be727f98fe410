"""A debugger that goes both ways: the replay of a trace of real code, which stands still.

The replay runs in a thread of its own and stands still at a stop: every worker is held where it is.
Whoever looks at it does so from the thread that asked, which is no worker: what an expression at a
prompt reads, calls or locks is no step of the program. To go back the replay is run afresh up to
the earlier point, since a trace says everything that is not determined by the code.
"""
