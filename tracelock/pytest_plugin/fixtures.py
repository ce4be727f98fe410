"""What pytest makes for one test, made anew for each of its schedules.

Fixtures of function scope, ``setup_method`` and its like, and the instance of the class are torn
down and set up again as pytest does between two tests; what wider scopes made stays. The setup of a
schedule tears down what an earlier one left behind, so that one that ended badly leaves nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tracelock.pytest_plugin.test_cases import is_isolated

#: Fixtures that hold nothing which a schedule could change.
_STATELESS: Final = frozenset({"request", "pytestconfig", "anyio_backend"})

#: How fixtures end that hold the loop of a plugin for async tests: a schedule has its own.
_LOOPS: Final = ("_scoped_runner", "event_loop")
#: What the names of such fixtures begin with.
WIDER: Final = "the fixture "


class _Parents:
    """Stands for a next test with the same parents: the item alone is torn down."""

    def __init__(self, item: pytest.Item) -> None:
        self._chain = item.listchain()[:-1]

    def listchain(self) -> list[Any]:
        return self._chain


class _NoLoops(list[str]):
    """Names of fixtures, to which pytest-asyncio adds that of its loop as it sets a test up."""

    def append(self, name: str) -> None:
        if not name.endswith(_LOOPS):
            super().append(name)


class FixturesAnew:
    """The fixtures of one test. ``fixed``: those of function scope that cannot be made anew."""

    def __init__(self, item: pytest.Function) -> None:
        self.item: Any = item
        self._parents: Any = _Parents(item)
        self._state: Any = item.session._setupstate
        definitions = item._fixtureinfo.name2fixturedefs
        asynchronous = is_async(item)
        #: Those that are made: a loop of another plugin is of no use to an asynchronous test.
        self._names = [
            name for name in item.fixturenames if not (asynchronous and name.endswith(_LOOPS))
        ]
        own = {
            name: definitions[name][-1]
            for name in self._names
            if name not in _STATELESS
            and definitions.get(name)
            and definitions[name][-1].scope == "function"
        }
        #: The asynchronous ones, which are awaited in the loop of the schedule.
        self._awaited: dict[str, Any] = {
            name: one for name, one in own.items() if _awaits(one.func)
        }
        self._running: list[Any] = []  # async generators that have given their value
        self.fixed = sorted(
            name
            for name, one in self._awaited.items()
            if not asynchronous or "request" in one.argnames or name in one.argnames
        )
        self.needed = not self.fixed and (bool(own) or item.instance is not None)

    def wider(self) -> dict[str, Any]:
        """What fixtures of wider scope have made, which all schedules share: called by what a
        message tells."""
        made = {}
        for name in self._names:
            definitions = self.item._fixtureinfo.name2fixturedefs.get(name)
            if not definitions:
                continue
            one: Any = definitions[-1]
            kept = None if one.scope == "function" else one.cached_result
            if kept is not None and kept[0] is not None:
                made[f"{WIDER}{name} ({one.scope})"] = kept[0]
        return made

    def arguments(self) -> dict[str, Any]:
        """The values that the test is called with."""
        return {name: self.item.funcargs[name] for name in self.item._fixtureinfo.argnames}

    def let_go(self) -> None:
        """Tear down what pytest has made, before the first schedule: outside of control."""
        if self.needed:
            with contextlib.suppress(Exception):  # the test has not run
                self._tear_down()

    def end(self) -> None:
        """Tear down what pytest has made, as pytest does; what was noted of the test stays."""
        item = self.item
        if self.needed and item in self._state.stack:
            noted = dict(item.stash._storage)
            try:
                self._state.teardown_exact(self._parents)
            finally:
                item.stash._storage.update(noted)

    # --- a schedule ----------------------------------------------------------------------------
    def setup(self) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Make them anew; their values, or what is to be awaited for them."""
        if self._awaited:
            return self._setup_async()
        self._clear_up()
        self._begin()
        with self._without_loops():
            self._state.setup(self.item)
        return self.arguments()

    def teardown(self) -> Awaitable[None] | None:
        """Tear them down after a schedule; raises what they raise."""
        if self._awaited:
            return self._teardown_async()
        self._tear_down()
        return None

    def _clear_up(self) -> None:
        """Tear down what a schedule has left that ended badly. None of that is of the one that
        begins: it is not seen, and what it raises is noise."""
        from tracelock.instrument.contexts import out_of_control

        self._running.clear()  # their loop is gone
        with out_of_control(), contextlib.suppress(Exception):
            self._tear_down()

    def _begin(self) -> None:
        item = self.item
        if type(item).__name__ != "TestCaseFunction":
            item.__dict__.pop("_instance", None)
        if isinstance(item.parent, pytest.Class):
            item.__dict__.pop("_obj", None)
        item._initrequest()

    def _tear_down(self) -> None:
        item = self.item
        if item not in self._state.stack:
            return
        noted = dict(item.stash._storage)  # finalizers delete what other plugins need later
        folder = item.funcargs.get("tmp_path")
        for one in self._awaited.values():
            one.cached_result = None
            one._finalizers.clear()
        try:
            self._state.teardown_exact(self._parents)
        finally:
            item.stash._storage.update(noted)
            if folder is not None:
                self._give_back(folder)

    def _give_back(self, folder: Path) -> None:
        """Remove a temporary folder, so that the next one has the same name: its files are called
        the same in each schedule, and one of a thousand is left."""
        shutil.rmtree(folder, ignore_errors=True)
        numbers = getattr(self.item.config._tmp_path_factory, "_next_number", {})
        for key in list(numbers):
            if folder.name.lower().startswith(key) and folder.name[len(key) :].isdigit():
                del numbers[key]

    # --- with asynchronous fixtures ------------------------------------------------------------
    async def _setup_async(self) -> dict[str, Any]:
        self._clear_up()
        self._begin()
        with self._filled_later():
            self._state.setup(self.item)
        made: set[str] = set()
        for name in self._names:
            await self._make(name, made)
        for name in made:
            self.item.funcargs[name] = self.item._request.getfixturevalue(name)
        return self.arguments()

    async def _make(self, name: str, made: set[str]) -> None:
        definitions = self.item._fixtureinfo.name2fixturedefs.get(name)
        if name in made or not definitions or name.endswith(_LOOPS):
            return
        made.add(name)
        one = definitions[-1]
        for needed in one.argnames:
            await self._make(needed, made)
        if name not in self._awaited:
            self.item._request.getfixturevalue(name)
            return
        values = {each: self.item._request.getfixturevalue(each) for each in one.argnames}
        result = one.func(**values)
        if inspect.isasyncgen(result):
            self._running.append(result)
            value = await result.__anext__()
        else:
            value = await result
        spec = getattr(self.item, "callspec", None)
        parameter = spec.params.get(name) if spec is not None else None
        one.cached_result = (value, parameter, None)

    async def _teardown_async(self) -> None:
        try:
            while self._running:
                with contextlib.suppress(StopAsyncIteration):
                    await self._running.pop().__anext__()
        finally:
            self._tear_down()

    @contextlib.contextmanager
    def _without_loops(self) -> Iterator[None]:
        every, self.item.fixturenames = self.item.fixturenames, _NoLoops(self._names)
        try:
            yield
        finally:
            self.item.fixturenames = every

    @contextlib.contextmanager
    def _filled_later(self) -> Iterator[None]:
        """Set the item up without its fixtures."""
        self.item.setup = lambda: None
        try:
            yield
        finally:
            del self.item.setup


def _awaits(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def is_async(item: Any) -> bool:
    """Whether the body of a test is a coroutine, which runs in a loop of its own; with ``@given``
    the function that was decorated."""
    test = item.obj
    handle = getattr(test, "hypothesis", None)
    if type(item).__name__ == "TestCaseFunction":
        return is_isolated(item)
    return inspect.iscoroutinefunction(getattr(handle, "inner_test", test))
