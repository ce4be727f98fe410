"""A class that is replaced by a name is a class still: in annotations, ``isinstance`` and bases."""

from __future__ import annotations

import inspect
import pickle
import queue
import sys
import threading
from typing import Any

import tracelock


def uses() -> None:
    class Own(queue.SimpleQueue):  # type: ignore[type-arg]
        pass

    own, made = Own(), queue.SimpleQueue[int]()
    own.put(1)
    assert own.get() == 1
    named: Any = queue.SimpleQueue
    assert isinstance(made, named) and isinstance(own, named) and not isinstance(1, named)
    assert issubclass(Own, named) and inspect.isclass(named)
    assert named.__name__ == "SimpleQueue"
    assert str(named | None) == "_queue.SimpleQueue | None"
    assert str(None | named) == "None | _queue.SimpleQueue"
    assert {named: 1}[named] == 1
    assert pickle.loads(pickle.dumps(named)) is not None
    if sys.version_info >= (3, 13):
        assert isinstance(threading.Lock(), threading.Lock)


def test_it_is_one_under_control() -> None:
    found = tracelock.explore(workers=[uses, uses], schedules=20, shrink=False)
    assert found.verdict in ("passed", "verified"), found.trace and found.trace.verdict


def test_a_module_that_subscripts_it_is_imported(tmp_path: Any) -> None:
    """As ``aiosqlite`` does, when it is imported."""
    (tmp_path / "subscripts_a_queue.py").write_text(
        "from queue import SimpleQueue\nNumbers = SimpleQueue[int]\n\n"
        "class Of(SimpleQueue[int]): pass\n"
    )
    sys.path.insert(0, str(tmp_path))

    def imports() -> None:
        import subscripts_a_queue as it  # type: ignore[import-not-found]

        numbers = it.Of()
        numbers.put(1)
        assert numbers.get() == 1

    try:
        found = tracelock.explore(workers=[imports, imports], schedules=20, shrink=False)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("subscripts_a_queue", None)
    assert found.verdict in ("passed", "verified"), found.trace and found.trace.verdict
