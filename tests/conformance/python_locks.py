"""Locks that a module has from the start, for others to import by name."""

from __future__ import annotations

import threading

a = threading.Lock()
b = threading.Lock()
again = threading.RLock()
