"""The table of what is patched of processes and of ``multiprocessing``.

Not controlled: pipes and connections, managers, pools, listeners, signals but for killing another
worker, and processes that are spawned or run other programs. A worker that waits for one of those
is named as stuck, with its stack. A Barrier is the standard library's code on a condition that is
controlled.
"""

from __future__ import annotations

from typing import Any

from tracelock.instrument.processes import forking
from tracelock.instrument.processes import memory as process_memory
from tracelock.instrument.processes import queues as process_queues
from tracelock.instrument.processes import starting as process_starting
from tracelock.instrument.processes import sync as process_sync


def replacements() -> list[tuple[str, Any, str, Any, Any]]:
    """Name, owner (None: in all modules), attribute, original, and ours, of each patch."""
    found = forking.replacements() + process_starting.replacements()
    found += process_memory.replacements()
    for methods in (process_sync.METHODS, process_queues.METHODS):
        for cls, pairs in methods.items():
            for name, by in pairs.items():
                label = f"multiprocessing.{cls.__name__}.{name}"
                found.append((label, cls, name, cls.__dict__[name], by))
    return found


adopt = process_sync.adopt
