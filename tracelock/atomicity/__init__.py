"""Is a statement atomic? The table's answer, and an interleaving that shows it where it is not."""

from __future__ import annotations

from tracelock.atomicity.asked import Atomicity as Atomicity
from tracelock.atomicity.asked import atomic as atomic
