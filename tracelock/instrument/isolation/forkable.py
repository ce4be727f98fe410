"""What speaks against forked processes."""

from __future__ import annotations

import os
import sys
import threading


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
