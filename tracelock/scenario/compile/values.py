"""What worker programs compute with: the values of the language, with bounds on their size.

Scenarios come from strangers, so an expression may neither blow up memory nor run for ever. An
operation that can make a value larger, or goes over one, goes through a function of this module
or of ``costs``, which knows what it costs; a value is checked again where it is stored. Whole
numbers alone grow in between, by no more than the text of one expression.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NoReturn

from tracelock.errors import LimitReached, ScopeExpired, StepFailure
from tracelock.ops import Value
from tracelock.scenario.compile.costs import (
    MAX_BITS,
    MAX_SIZE,
    SMALL,
    TooLarge,
    TooMuch,
    size,
    spend,
    spent,
    total,
)

__all__ = ["MAX_BITS", "MAX_SIZE", "SMALL", "TooLarge", "TooMuch"]

MAX_DIGITS: Final = 1300  # of a text that int() reads: more than MAX_BITS needs
MAX_PLACES: Final = 400  # of round(): doubles have no more
MAX_SECONDS: Final = 1e9
MAX_WORK: Final = 1_000_000_000


class Unset:
    """The class of :data:`UNSET`, what a local holds before it is set."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "not set"

    def __reduce__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


# --- operations that can grow a value --------------------------------------------------------
def add(a: Any, b: Any) -> Any:
    """``a + b``; raises TooLarge for a text or list beyond ``MAX_SIZE``."""
    if isinstance(a, str | list) and isinstance(b, str | list) and size(a) + size(b) > MAX_SIZE:
        raise TooLarge(f"more than {MAX_SIZE:,} elements")
    return a + b


def mul(a: Any, b: Any) -> Any:
    """``a * b``; raises TooLarge for a product beyond twice ``MAX_BITS`` or ``MAX_SIZE``."""
    if isinstance(a, int) and isinstance(b, int):
        if a.bit_length() + b.bit_length() > 2 * MAX_BITS:
            raise TooLarge(f"more than {MAX_BITS} bits")
    elif isinstance(a, str | list):
        _repeated(a, b)
    elif isinstance(b, str | list):
        _repeated(b, a)
    return a * b


def _repeated(part: str | list[Any], times: Any) -> None:
    if isinstance(times, int) and times > 0:
        many = size(part) * times
        if many > MAX_SIZE:
            raise TooLarge(f"more than {MAX_SIZE:,} elements")
        spend(many)


def mod(a: Any, b: Any) -> Any:
    """``a % b`` of numbers: with a text on the left it would be formatting."""
    if isinstance(a, str):
        raise TypeError("% is for numbers, not for a text")
    return a % b


def int_(a: Any) -> int:
    """``int(a)``."""
    if isinstance(a, str) and len(a) > MAX_DIGITS:
        raise TooLarge(f"more than {MAX_BITS} bits")
    return int(a)


def round_(a: Any, places: Any = None) -> Any:
    """``round(a, places)``; Python would compute ``10 ** -places``."""
    if places is None:
        return round(a)
    if isinstance(places, int) and not -MAX_PLACES <= places <= MAX_PLACES:
        raise TooLarge(f"round to more than {MAX_PLACES} places")
    return round(a, places)


def sum_(items: Any, start: Any = 0) -> Any:
    """``sum`` of numbers: of lists it would take time that grows with the square."""
    if not isinstance(start, int | float):
        raise TypeError("sum is for numbers")
    return total(items, start)


def min_(*values: Any) -> Any:
    """``min``, of one list or of several values."""
    return min(*map(spent, values))


def max_(*values: Any) -> Any:
    """``max``, of one list or of several values."""
    return max(*map(spent, values))


def float_(a: Any) -> float:
    """``float(a)``."""
    return float(spent(a))


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "len": len, "min": min_, "max": max_, "abs": abs, "sum": sum_, "int": int_, "float": float_,
    "bool": bool, "round": round_, "sqrt": math.sqrt,
}  # fmt: skip
#: NameTable of node types of Python's ``ast`` -> the operation.
OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "Add": add, "Sub": operator.sub, "Mult": mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": mod, "UAdd": operator.pos, "USub": operator.neg,
    "Not": operator.not_, "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt,
    "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Is": operator.is_,
    "IsNot": operator.is_not, "In": lambda a, b: a in b, "NotIn": lambda a, b: a not in b,
}  # fmt: skip


# --- where values are stored or handed on ----------------------------------------------------
def checked(value: Any) -> Value:
    """``value`` if a local or a queue may hold it; raises TooLarge or TypeError."""
    kind = type(value)
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise TooLarge(f"more than {MAX_BITS} bits")
    elif kind is str:
        size(value)
    elif kind is list:
        size(value)
        _check(value)
    elif not (kind is float or kind is bool or value is None):
        raise TypeError(f"a {kind.__name__} is no value of the language")
    return value


def _check(items: list[Any]) -> None:
    for item in items:
        kind = type(item)
        if kind is list:
            _check(item)
        elif kind is int:
            if not -SMALL < item < SMALL:
                checked(item)
        elif not (kind is str or kind is float or kind is bool or item is None):
            raise TypeError(f"a {kind.__name__} is no value of the language")


def scalar(value: Any) -> Value:
    """``value`` if a shared variable may hold it; raises TooLarge, TypeError or ValueError."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"a shared variable cannot hold {value}")
        return value
    if kind is list:
        raise TypeError("a shared variable holds one value, not a list")
    return checked(value)


def number(value: Any) -> Value:
    """``value`` as what fetch_add adds. Texts would grow with every step."""
    if not isinstance(value, int | float):
        raise TypeError(f"fetch_add adds a number, not {describe(value)}")
    return scalar(value)


def seconds(value: Any) -> float:
    """``value`` as a time to sleep or wait, in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"seconds must be a number, not {describe(value)}")
    if not value >= 0:
        raise ValueError(f"seconds must not be negative, not {describe(value)}")
    if value > MAX_SECONDS:
        raise TooLarge(f"more than {MAX_SECONDS:g} seconds")
    return value


def timeout(value: Any) -> float | None:
    """``value`` as a timeout in seconds, or None: for ever."""
    return None if value is None else seconds(value)


def permits(value: Any) -> int:
    """``value`` as the ``n`` of release and notify."""
    n = operator.index(value)
    if not -SMALL < n < SMALL:
        raise TooLarge("n has more than 63 bits")
    return n


def waiters(value: Any) -> int:
    """``value`` as the ``n`` of notify: below 0 wakes nobody (-1 is taken to mean all)."""
    return max(0, permits(value))


def rounds(value: Any) -> int:
    """``value`` as the count of a repeat."""
    return operator.index(value)


def work(rounds: Any, busy: bool) -> None:
    """``rounds`` rounds of arithmetic if ``busy``; only the check otherwise."""
    if isinstance(rounds, bool) or not isinstance(rounds, int | float):
        raise TypeError(f"work takes a number of rounds, not {describe(rounds)}")
    if rounds > MAX_WORK:
        raise LimitReached(f"a work step has more than {MAX_WORK:,} rounds")
    if busy:
        x = 1
        for _ in range(int(rounds)):
            x = (x * 1103515245 + 12345) % 2147483648


# --- in words and as keys --------------------------------------------------------------------
def describe(value: Any) -> str:
    """``value`` as JSON text, cut short."""
    if type(value) is int:
        if value.bit_length() > 200:
            return f"a whole number of {value.bit_length()} bits"
        return str(value)
    try:
        text = json.dumps(_beginning(value, 100), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 100 else text[:97] + "..."


def _beginning(value: Any, room: int) -> Any:
    """No more of ``value`` than what fills a text of ``room`` characters."""
    if isinstance(value, str):
        return value[: room + 1]
    if not isinstance(value, list):
        return value
    kept: list[Any] = []
    for item in value:
        if room <= 0:
            break
        part = _beginning(item, room - 2)
        kept.append(part)
        room -= 3 if not isinstance(part, str | list) else len(json.dumps(part))
    return kept


def explain(text: str, parts: Sequence[tuple[str, Any]]) -> str:
    """``counter == 2 is false: counter is 1``; parts that were not evaluated are UNSET."""
    known = {name: value for name, value in parts if value is not UNSET}
    if len(text) > 200:
        text = text[:197] + "..."
    if not known:
        return f"{text} is false"
    return f"{text} is false: " + ", ".join(f"{k} is {describe(v)}" for k, v in known.items())


_EMPTY = re.compile(r"(min|max)\(\) (arg is an empty sequence|iterable argument is empty)")


def reason(error: BaseException) -> str:
    """``error`` in words that are the same on every Python version."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, TooLarge):
        return f"value too large: {text}"
    if isinstance(error, TooMuch):
        return f"too much work: {text}"
    if isinstance(error, ZeroDivisionError):
        text = "division by zero"
    elif isinstance(error, IndexError):
        text = "index out of range"
    elif isinstance(error, RecursionError):
        text = "too deeply nested"
    elif isinstance(error, ValueError) and (found := _EMPTY.match(text)):
        text = f"{found[1]}() of an empty list"
    elif isinstance(error, ValueError) and text.startswith(("math domain", "expected a nonneg")):
        text = "square root of a negative number"
    elif isinstance(error, TypeError):
        text = re.sub("^(tuple|range( object)?) indices", "list indices", text)
    return f"{kind}: {text if len(text) <= 200 else text[:197] + '...'}"


def unset(name: str) -> NoReturn:
    """A local was read before it was set."""
    raise NameError(f"local {name} is not set")


_PLAIN = frozenset({int, str, type(None)})


def freeze(value: Any) -> Hashable:
    """A hashable stand-in: equal for equal values of equal types (1, 1.0 and True differ)."""
    kind = type(value)
    if kind in _PLAIN:
        return value  # type: ignore[no-any-return]
    if kind is list:
        return (list, *[v if type(v) in _PLAIN else freeze(v) for v in value])
    if kind is float:
        return (float, value.hex())  # 0.0 == -0.0, and NaN equals nothing
    if kind is StepFailure:
        return (kind, value.failure, value.message, value.at)
    if kind is ScopeExpired:
        return (kind, value.uid)
    return (kind, value) if kind is bool else (kind,)  # of the others one is as good as another
