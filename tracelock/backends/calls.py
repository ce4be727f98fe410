"""``call`` steps: trusted Python code, only where the user has said so."""

from __future__ import annotations

import importlib
from typing import Any

from tracelock.ops import Raised, Value


def find_call(name: str) -> Any:
    """The function ``module:function``. Raises ValueError, ImportError or AttributeError."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"{name!r} is not of the form module:function")
    found: Any = importlib.import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    return found


def run_call(name: str, arguments: list[Value]) -> Value:
    """The function's value, or ``Raised`` with what it raised."""
    try:
        return find_call(name)(*arguments)
    except Exception as error:
        return Raised(type(error).__name__, str(error))
