"""What pytest makes for one test is made anew for every schedule of it.

Fixtures of function scope, ``setup_method`` and its like, the instance of a test class: all that
pytest would make again if the test ran again. It is torn down after the schedule, or before the
next one where a schedule did not come to its end. Fixtures of a wider scope are kept.
"""

from __future__ import annotations

import _thread
import inspect
import shutil
from typing import Any, Final

import pytest
from _pytest.logging import caplog_handler_key, caplog_records_key
from _pytest.tmpdir import tmppath_result_key

#: Fixtures of plugins for async tests that own an event loop: what needs them is theirs to make.
_RUNNERS: Final = ("_scoped_runner", "event_loop", "anyio_backend")
#: Seconds that tearing down may take after a schedule that did not come to its end.
_PATIENCE: Final = 5.0
_lock, _start = _thread.allocate_lock, _thread.start_new_thread  # never those of a schedule


class _Above:
    """Stands for a next test with the same parents: what is torn down is the test alone."""

    def __init__(self, item: pytest.Item) -> None:
        self._chain = item.listchain()[:-1]

    def listchain(self) -> list[Any]:
        return self._chain


def is_unittest(item: pytest.Item) -> bool:
    """Whether a test is a method of ``unittest.TestCase``."""
    return type(item).__name__ == "TestCaseFunction"


def can_be_remade(item: pytest.Function) -> bool:
    """Whether pytest's own machinery makes all that the test is given: async fixtures, and the
    event loops of plugins, are made by these plugins in a loop of theirs, once."""
    asynchronous = not is_unittest(item) and inspect.iscoroutinefunction(item.obj)
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        if asynchronous and name.endswith(_RUNNERS):
            return False
        for definition in definitions:
            function = definition.func
            if definition.scope == "function" and (
                inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            ):
                return False
    return True


class Remade:
    """The fixtures and the instance of one test, made anew whenever ``setup`` is called."""

    def __init__(self, item: pytest.Function) -> None:
        self._item: Any = item
        self._state: Any = item.session._setupstate
        self._above = _Above(item)

    def setup(self) -> None:
        """Make them; those of before are torn down first, should they still be there."""
        item = self._item
        self.abandon()
        if not is_unittest(item):
            item.__dict__.pop("_instance", None)
        if isinstance(item.parent, pytest.Class):
            item.__dict__.pop("_obj", None)
        item._initrequest()
        self._state.setup(item)

    def teardown(self) -> None:
        """Tear them down, as after the test, but let pytest's own notes on the test stand."""
        item = self._item
        if item not in self._state.stack:
            return
        stash = item.stash
        result = stash.get(tmppath_result_key, None)
        directory = item.funcargs.get("tmp_path")
        try:
            self._state.teardown_exact(self._above)
        finally:
            if result is not None:
                stash[tmppath_result_key] = result
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)
            handler = stash.get(caplog_handler_key, None)
            if handler is not None:
                handler.reset()
                stash[caplog_records_key]["call"] = handler.records

    def abandon(self) -> None:
        """Tear down what a schedule left that did not come to its end; that it cannot be torn
        down says nothing about the test. In a thread of its own, outside control: it may wait for
        what will not come."""
        if self._item not in self._state.stack:
            return
        done = _lock()
        done.acquire()

        def work() -> None:
            try:
                self.teardown()
            except BaseException:
                pass
            finally:
                done.release()

        _start(work, ())
        done.acquire(timeout=_PATIENCE)
        self._state.stack.pop(self._item, None)
