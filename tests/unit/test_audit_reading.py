"""What an audit calls: operators, and calls with a limit of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tracelock.audit.reading import AuditedClass, calls_of, with_limits
from tracelock.audit.task_judging import takes


def opaque(method: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    return wrapper


class Shelf:
    @opaque
    def __len__(self) -> int:
        return 0

    @opaque
    def hidden(self, item: int) -> None:
        """Nobody knows what it takes."""

    def get(self, block: bool = True, timeout: float | None = None) -> int:
        return 0

    def put(self, item: int, put_timeout: float = 3) -> None:
        """Has a limit of its own."""

    def put_in(self, item: int, timeout_ms: int = 3) -> None:
        """A limit in another unit."""

    @property
    def timeout(self) -> int:
        return 0


class Tasks:
    async def take(self) -> int:
        return 0

    async def offer(self, item: int, timeout: float | None = None) -> None:
        """Has a limit of its own, too."""

    def peek(self) -> int:
        return 0


def test_an_operator_is_called_whatever_its_decorator_takes() -> None:
    found, missing = calls_of(AuditedClass("Shelf", Shelf, __name__, "Shelf()"), None, {})
    assert [str(one) for one in found["len"]] == ["len(it)"]
    assert set(missing) == {"hidden"}


@pytest.mark.parametrize(
    ("cls", "limited"),
    [
        (Shelf, {"get": ["get(timeout=1)"], "put": ["put(1, put_timeout=1)"]}),
        (Tasks, {"take": ["within(1, it.take())"],
                 "offer": ["offer(1, timeout=1)", "within(1, it.offer(1))",
                          "within(1, it.offer(2))"]}),
    ],
)  # fmt: skip
def test_calls_with_a_limit_of_time(cls: type, limited: dict[str, list[str]]) -> None:
    subject = AuditedClass(cls.__name__, cls, __name__, f"{cls.__name__}()", tasks=cls is Tasks)
    found, _ = calls_of(subject, None, {})
    told = {
        row: [str(one) for one in calls if not one.spare]
        for row, calls in with_limits(subject, found, {}).items()
    }
    assert told == limited


def test_who_takes_something_does_so_with_a_limit() -> None:
    subject = AuditedClass("Tasks", Tasks, __name__, "Tasks()", tasks=True)
    found, _ = calls_of(subject, None, {})
    (call,) = with_limits(subject, found, {})["take"]
    assert takes(call) and not any(map(takes, with_limits(subject, found, {})["offer"]))
    shelf = AuditedClass("Shelf", Shelf, __name__, "Shelf()")
    (call,) = with_limits(shelf, calls_of(shelf, None, {})[0], {})["get"]
    assert takes(call) and not shelf.in_c("pause")
