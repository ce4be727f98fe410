"""Processes of real code: forked workers and ``multiprocessing`` under control."""
