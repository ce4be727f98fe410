"""Compare: one scenario on all backends, what can happen there and what it costs."""

from __future__ import annotations

from tracelock.compare.comparison import FORMAT, Comparison, compare

__all__ = ["FORMAT", "Comparison", "compare"]
