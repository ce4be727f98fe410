"""Modules rewritten in place and at import, and everything as it was afterwards."""

from __future__ import annotations

import asyncio.locks
import functools
import gc
import hashlib
import importlib
import importlib.machinery
import importlib.util
import linecache
import queue
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.watching import Watcher, under
from tracelock.errors import UsageError
from tracelock.instrument.live_objects import every_object
from tracelock.instrument.rewrite.importing import RewritingLoader
from tracelock.instrument.rewrite.loading import Instrumentation
from tracelock.instrument.rewrite.sites import stable_file

BANK = """
from __future__ import annotations
import functools
def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **keywords):
        return function(*args, **keywords)
    return wrapper
class Account:
    def __init__(self, balance):
        self.__balance = balance
    @traced
    def withdraw(self, amount):
        self.__balance -= amount
        return self.__balance
    @property
    def balance(self):
        return self.__balance
    @staticmethod
    def of(obj): return obj.n
    @classmethod
    def make(cls): return cls(1).balance
    async def later(self): return self.__balance
class Savings(Account):
    def withdraw(self, amount):
        return super().withdraw(amount) + self.balance
@functools.lru_cache
def cached(obj): return obj.balance
def adder(box):
    def add(k):
        box.n += k
        return box.n
    return add
def odd(box): return (lambda: box.n)() + (lambda: box.n + 1)()
def fails(box):
    return (
        box.missing
    )
both = [lambda box: box.n, lambda box: -box.n]
"""


class Box:
    def __init__(self, n: int = 0) -> None:
        self.n = n


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "race_bank.py").write_text(BANK)
    (tmp_path / "race_pkg").mkdir()
    (tmp_path / "race_pkg/__init__.py").write_text("def top(o): return o.n\n")
    (tmp_path / "race_pkg/sub.py").write_text("def low(o):\n    o.n += 1\n")
    before = set(sys.modules)
    yield importlib.import_module("race_bank")
    for name in set(sys.modules) - before:
        if name.startswith("race_"):
            del sys.modules[name]


def _codes(module: types.ModuleType) -> dict[int, types.CodeType]:
    return {
        id(each): each.__code__
        for each in every_object()
        if type(each) is types.FunctionType and each.__globals__ is module.__dict__
    }


def test_a_loaded_module_is_rewritten_in_place_and_restored(bank: Any) -> None:
    account, savings, box = bank.Account(10), bank.Savings(10), Box(3)
    add, bound = bank.adder(box), account.withdraw
    before = _codes(bank)
    watcher = Watcher()
    with Instrumentation(["race_bank"]) as made:
        assert made.notes == []
        with under(watcher):
            assert bound(4) == 6
            assert savings.withdraw(1) == 18
            assert (bank.cached(account), add(2), bank.odd(box)) == (6, 5, 11)
            assert bank.Account.of(box) == 5
            assert bank.Account.make() == 1
            assert [each(box) for each in bank.both] == [5, -5]
            assert asyncio.run(_later(account, watcher)) == 6
        meanwhile = bank.adder(box)
    shown = watcher.shown({"a": account, "s": savings, "b": box})
    # ``wrapper`` spreads its own ``**keywords``: a dict that no one else has
    assert [each for each in shown if each != "read dict"][:8] == [
        "read a._Account__balance", "write a._Account__balance", "read a._Account__balance",
        "read s._Account__balance", "write s._Account__balance", "read s._Account__balance",
        "read s._Account__balance",
        "read a._Account__balance",
    ]  # fmt: skip
    assert watcher.shown({"b": box}).count("read b.n") == 7
    after = _codes(bank)
    assert all(after[number] is code for number, code in before.items())
    assert meanwhile.__code__ is add.__code__
    quiet = Watcher()
    with under(quiet):
        bound(1)
        meanwhile(1)
    assert quiet.events == []
    assert vars(bank).keys() == vars(importlib.reload(bank)).keys()


async def _later(account: Any, watcher: Watcher) -> Any:
    return await account.later()


def test_a_module_is_rewritten_as_it_is_imported_and_restored(bank: Any) -> None:
    watcher, box = Watcher(), Box()
    with Instrumentation(["race_pkg"]) as made:
        import race_pkg.sub  # type: ignore[import-not-found]

        with under(watcher):
            race_pkg.sub.low(box)
            race_pkg.top(box)
        assert "_Loader" not in repr(race_pkg.__spec__) + repr(race_pkg.__loader__)
        assert sorted(made.digests) == ["race_pkg/__init__.py", "race_pkg/sub.py"]
        assert made.sites.function("race_pkg/sub.py:2") == "low"
    source = Path(race_pkg.sub.__file__).read_bytes()
    wanted = f"sha256:{hashlib.sha256(source).hexdigest()}"
    assert made.digests["race_pkg/sub.py"] == wanted
    assert [site.at for _, _, _, site, _ in watcher.events] == [
        "race_pkg/sub.py:2", "race_pkg/sub.py:2", "race_pkg/__init__.py:1",
    ]  # fmt: skip
    with under(watcher):
        race_pkg.sub.low(box)
    assert len(watcher.events) == 3
    assert not any(type(each).__module__.startswith("tracelock") for each in sys.meta_path)


def test_only_whole_names_match(bank: Any) -> None:
    made = Instrumentation(["race_b", "race_pkg.sub"])
    assert not made.covers("race_bank")
    assert not made.covers("race_pkg")
    assert made.covers("race_pkg.sub.deeper")


def test_a_changed_source_is_refused_where_it_differs(bank: Any) -> None:
    path = Path(bank.__file__)
    path.write_text("# one line more\n" + BANK.replace("class Savings", "class Other"))
    with Instrumentation(["race_bank"]) as made:
        assert made.notes == [
            "race_bank: its source is not what was compiled, these functions are left as they "
            "are: <lambda>, Account.__init__, Account.balance, Account.later, Account.make "
            "and 9 more"
        ]
        watcher = Watcher()
        with under(watcher):
            assert bank.Account(3).withdraw(1) == 2
        assert watcher.events == []
    path.unlink()
    with Instrumentation(["race_bank"]) as made:
        assert made.notes == ["race_bank: its source cannot be read (No such file or directory)"]


def test_modules_without_source_are_named() -> None:
    with Instrumentation(["_heapq", "itertools"]) as made:
        assert sorted(made.notes) == [
            "_heapq: has no Python source, its accesses are not seen",
            "itertools: has no Python source, its accesses are not seen",
        ]


@pytest.mark.parametrize("name", ["", "a..b", "a b", "tracelock", "tracelock.engine"])
def test_names_that_cannot_be_instrumented(name: str) -> None:
    with pytest.raises(UsageError):
        Instrumentation([name])


def test_tracebacks_name_the_file_and_the_line(bank: Any) -> None:
    with Instrumentation(["race_bank"]), under(Watcher()):
        with pytest.raises(AttributeError) as caught:
            bank.fails(Box())
        last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (Path(last.filename).name, last.name, last.line) == (
        "race_bank.py", "fails", "box.missing",
    )  # fmt: skip
    assert linecache.getline(bank.__file__, last.lineno or 0).strip() == "box.missing"


def test_what_the_collector_has_forgotten_is_rewritten_too(bank: Any) -> None:
    """The free-threaded build of 3.13 lists no function any more after this."""
    thread = threading.Thread(target=bank.Account, args=(1,))
    thread.start()
    thread.join()
    gc.collect()
    listed = every_object()
    for wanted in (bank.Account.__init__, bank.Account, bank, bank.__dict__):
        assert sum(each is wanted for each in listed) == 1
    watcher = Watcher()
    with Instrumentation(["race_bank"]), under(watcher):
        bank.Account(1)
    assert watcher.events != []


STDLIB = [
    "queue", "functools", "weakref", "_collections_abc", "asyncio.locks", "threading", "heapq",
    "collections", "dataclasses", "textwrap", "json", "_weakrefset",
]  # fmt: skip


def test_the_standard_library_is_reached_through_its_sources() -> None:
    functions = [each for each in every_object() if type(each) is types.FunctionType]
    before = [each.__code__ for each in functions]
    watcher = Watcher()
    with Instrumentation(STDLIB) as made:
        assert made.notes == []
        held: queue.Queue[int] = queue.Queue()
        refs: Any = weakref.WeakValueDictionary()
        value = Box()
        with under(watcher):
            held.put(1)
            assert held.get() == 1
            refs["k"] = value
            assert refs["k"] is value
            threading.Event().is_set()
            functools.cached_property(lambda self: 1).__set_name__(Box, "one")
    files = {site.file for _, _, _, site, _ in watcher.events}
    assert files >= {"queue.py", "threading.py", "weakref.py", "functools.py"}
    assert {"asyncio/locks.py", "_collections_abc.py", "json/__init__.py"} <= set(made.digests)
    changed = [
        each for each, code in zip(functions, before, strict=True) if each.__code__ is not code
    ]
    assert changed == []


def test_a_source_is_rewritten_once_whoever_asks(bank: Any) -> None:
    seen = []
    for _ in range(2):
        watcher = Watcher()
        with Instrumentation(["race_bank"]) as made, under(watcher):
            bank.Account(1)
        seen.append([site for _, _, _, site, _ in watcher.events])
        assert made.sites.function("race_bank.py:11") == "Account.__init__"
    assert seen[0] == seen[1] != []
    path = Path(bank.__file__)
    path.write_text(BANK.replace("def odd", "def even"))
    importlib.reload(bank)
    with Instrumentation(["race_bank"]) as made:
        assert "even" in {site.function for site in made.sites.all}
        assert "odd" not in {site.function for site in made.sites.all}


def test_one_inside_the_other_leaves_the_outer_in_force(bank: Any) -> None:
    account, plain = bank.Account(1), bank.Account.withdraw.__wrapped__.__code__
    watcher = Watcher()
    with Instrumentation(["race_bank"]):
        with Instrumentation(["race_bank"]) as inner:
            assert inner.notes == []
        with under(watcher):
            account.withdraw(1)
    assert len([each for each in watcher.events if each[2]]) == 3
    assert bank.Account.withdraw.__wrapped__.__code__ is plain


def test_files_are_named_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").mkdir()
    assert stable_file("bank", "/x/bank.py") == "bank.py"
    assert stable_file("pkg.sub", "/x/pkg/sub.py") == "pkg/sub.py"
    assert stable_file("pkg", "/x/pkg/__init__.py") == "pkg/__init__.py"
    assert stable_file("queue", "/usr/lib/python3.11/queue.py") == "queue.py"
    assert stable_file("__main__", str(tmp_path / "t/test_x.py")) == "t/test_x.py"
    assert stable_file("loaded_12", str(tmp_path / "bank.py")) == "bank.py"
    assert stable_file("__main__", "/elsewhere/run.py") == "run.py"
    assert stable_file("gone", None) == "gone.py"


def test_a_file_loaded_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "by_path.py"
    path.write_text("total = 0\ndef add(o):\n    global total\n    total += o.n\n")
    spec = importlib.util.spec_from_file_location("race_loaded_7", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "race_loaded_7", module)
    spec.loader.exec_module(module)
    watcher, box = Watcher(), Box(2)
    with Instrumentation(["race_loaded_7"]) as made, under(watcher):
        module.add(box)
    assert watcher.shown({"m": module, "o": box}) == ["read m.total", "read o.n", "write m.total"]
    assert list(made.digests) == ["by_path.py"]


def test_generator_functions_marked_as_coroutines() -> None:
    import asyncio.tasks

    with Instrumentation(["asyncio.tasks"]) as made:
        assert made.notes == []
        assert asyncio.run(asyncio.sleep(0, 5)) == 5


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="loaders are asked for it no more")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_a_loader_that_is_asked_as_of_old_runs_rewritten_code_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Rewriter:
        def wanted(self, name: str, path: str | None) -> bool:
            return True

        def load(self, module: types.ModuleType, loader: Any) -> None:
            asked.append(module.__name__)
            loader.exec_module(module)

    name, path = "sample_of_old", tmp_path / "sample_of_old.py"
    path.write_text("value = 3\n")
    monkeypatch.delitem(sys.modules, name, raising=False)
    real = importlib.machinery.SourceFileLoader(name, str(path))
    module: Any = RewritingLoader(real, Rewriter()).load_module(name)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert asked == [name] and module.value == 3 and module.__loader__ is real
