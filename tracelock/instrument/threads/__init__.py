"""Threads of real code, and the objects of ``threading`` and ``queue``, under control."""
