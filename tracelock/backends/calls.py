"""Code that a document names: only where the user has said so, and nobody above has said no.

Nothing else of the package imports a module because a scenario or a trace names it, but for those
that `may_import` lets through.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any, Final

from tracelock.engine.effects import raised
from tracelock.errors import InternalError, UsageError
from tracelock.ops import Op, Value

#: Set in the environment (to anything but 0), it forbids what ``allow_call`` allows.
FORBID: Final = "TRACELOCK_FORBID_CALL"


def calls_forbidden() -> bool:
    """Whether whoever set up the environment forbids to run code that documents name."""
    return os.environ.get(FORBID, "").strip() not in ("", "0")


def check_calls(allow_call: bool = True) -> None:
    """Raises UsageError where such code is to be allowed, and the environment forbids it."""
    if allow_call and calls_forbidden():
        raise UsageError(
            f"{FORBID} is set in this environment: whoever set it up lets nobody run the Python "
            "code that a scenario or a trace names. Without --allow-call (allow_call=True) "
            "everything else works; ask them, or run it where it is not set"
        )


def may_import(names: Iterable[str]) -> list[str]:
    """Of modules that a document names besides its functions, those that may be imported: where
    that is forbidden, those that are there already."""
    return [name for name in names if not calls_forbidden() or name in sys.modules]


def find_call(name: str) -> Any:
    """The function ``module:function``. Raises ValueError, ImportError or AttributeError, and
    UsageError where the environment forbids it."""
    check_calls()
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
    check_calls()
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
