"""What speaks for forked processes, and what against them."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

from tracelock.instrument.account.extensions import FOREIGN, origin

if TYPE_CHECKING:
    from tracelock.instrument.rewrite.loading import Sources


def into_c(sources: Sources) -> str:
    """The first of the instrumented modules, those of the standard library aside, that calls
    functions of C by ``ctypes`` or ``cffi``; "" where none does."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in sys.stdlib_module_names or not sources.covers(name):
            continue
        values = list(vars(module).values()) if issubclass(type(module), ModuleType) else ()
        if any(origin(value) in FOREIGN for value in values):
            return name
    return ""


def unforkable() -> str:
    """Why this process cannot be forked, "" where it can."""
    if not hasattr(os, "fork") or not hasattr(os, "killpg"):
        return "this platform cannot fork"
    if sys.implementation.name != "cpython":
        return "what a forked process sends back needs CPython"
    if threading.current_thread() is not threading.main_thread():
        return "this is not the main thread, and the others would be gone in a fork"
    others = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not hasattr(thread, "_tracelock_own")
    ]
    if others:
        return f"threads are alive, which would be gone in a fork: {', '.join(sorted(others)[:5])}"
    return ""
