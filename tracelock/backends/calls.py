"""``call`` steps: trusted Python code, only where the user has said so."""

from __future__ import annotations

import importlib
import signal
import threading
from typing import Any

from tracelock.engine.effects import raised
from tracelock.errors import InternalError
from tracelock.ops import Op, Value


def find_call(name: str) -> Any:
    """The function ``module:function``. Raises ValueError, ImportError or AttributeError."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"{name!r} is not of the form module:function")
    found: Any = importlib.import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    return found


def refuse_call() -> InternalError:
    """The error of a ``call`` step that was reached though calls are not allowed."""
    return InternalError("a call step was reached though calls are not allowed")


def run_call(op: Op, allowed: bool) -> Value:
    """The value of a ``call`` step's function, or ``Raised`` with what it raised."""
    if not allowed:
        raise refuse_call()
    try:
        return find_call(str(op.body))(*op.value)
    except KeyboardInterrupt as error:
        # Python raises it in the main thread alone, and where SIGINT is not ignored
        if threading.current_thread() is threading.main_thread() and (
            signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):
            raise
        return raised(error)
    except SystemExit as error:
        return raised(error)
    except Exception as error:
        return raised(error)
