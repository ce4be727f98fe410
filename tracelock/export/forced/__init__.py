"""Traces of real code as programs that force their interleaving at the source lines.

``gate``, ``tasks`` and ``running`` import the standard library alone: a forced program carries
their source. ``schedule`` reads a trace, ``program`` writes the file.
"""
