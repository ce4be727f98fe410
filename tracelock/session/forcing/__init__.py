"""Failures of real code that are handed on: as programs that force them."""
