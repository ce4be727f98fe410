"""What is instrumented unless told otherwise: the bug is seldom in the module of the test."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracelock
from tracelock.errors import UsageError
from tracelock.session.first_party import Project

pytest_plugins = "pytester"

CLASS = """\
class Account:
    def __init__(self):
        self.balance = 0

    def add(self):
        self.balance += 1
"""
TEST = """\
import threading

import pytest

from shop.accounts import Account


@pytest.mark.tracelock
def test_adds():
    account = Account()
    threads = [threading.Thread(target=account.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.balance == 2
"""
PROGRAM = """\
from elsewhere import Account


def add(account):
    account.add()


def check(account):
    return account.balance == 2
"""


def test_the_plugin_looks_into_the_class_under_test(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("shop").joinpath("accounts.py").write_text(CLASS)
    pytester.makepyfile(test_shop=TEST)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(failed=1)
    assert "shop/accounts.py" in result.stdout.str()


def test_the_plugin_looks_into_a_package_without_an_init(pytester: pytest.Pytester) -> None:
    """Of a namespace package the file of the module says where the project is."""
    below = pytester.mkdir("shop")
    (below / "accounts.py").write_text(CLASS)
    (below / "work.py").write_text(
        "from shop.accounts import Account\n\n\ndef add(account):\n    account.add()\n"
    )
    pytester.makepyfile(
        found="""\
        import tracelock
        from shop import accounts, work

        found = tracelock.explore(
            setup=accounts.Account, workers=[work.add] * 2, check=lambda one: one.balance == 2
        )
        assert found.failed, found
        """
    )
    assert pytester.runpython("found.py").ret == 0


def test_the_plugin_looks_into_what_a_fixture_of_conftest_gives(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("shop").joinpath("accounts.py").write_text(CLASS)
    pytester.makepyfile(
        test_shop=TEST.replace("from shop.accounts import Account", "")
        .replace("def test_adds():", "def test_adds(account):\n    account.balance = 0")
        .replace("account = Account()", "")
    )
    pytester.makeconftest(
        "import pytest\nfrom shop.accounts import Account\n\n\n"
        "@pytest.fixture\ndef account():\n    return Account()\n"
    )
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    assert "shop/accounts.py" in result.stdout.str()


def test_explore_looks_into_the_class_under_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere.py").write_text(CLASS)
    (tmp_path / "uses_elsewhere.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    import elsewhere  # type: ignore[import-not-found]
    import uses_elsewhere  # type: ignore[import-not-found]

    given = {
        "setup": elsewhere.Account, "workers": [uses_elsewhere.add] * 2,
        "check": uses_elsewhere.check, "schedules": 100,
    }  # fmt: skip
    found = tracelock.explore(**given)
    assert found.failed and found.trace is not None
    assert found.trace.scenario["python"]["instrument"] == ["uses_elsewhere", "elsewhere"]
    more = tracelock.explore(**given, instrument=["bisect"])
    assert more.failed and more.trace is not None
    assert more.trace.scenario["python"]["instrument"] == ["uses_elsewhere", "elsewhere", "bisect"]
    only = tracelock.explore(**given, instrument=["only", "uses_elsewhere"])
    assert only.verdict == "passed" and only.account is not None
    assert "elsewhere" in only.account.not_seen
    assert tracelock.replay(found.trace, setup=elsewhere.Account, check=uses_elsewhere.check,
                            workers=given["workers"]).reproduced  # fmt: skip
    nothing = tracelock.explore(**given, instrument=[])
    assert nothing.verdict == "passed" and nothing.account is not None
    assert set(nothing.account.not_seen) & {"elsewhere", "uses_elsewhere"}
    for name in ("elsewhere", "uses_elsewhere"):
        sys.modules.pop(name)


def test_installed_packages_and_the_standard_library_are_not_first_party() -> None:
    found = tracelock.explore(workers=[work], schedules=1)
    assert found.account is not None
    own = Project(str(Path(__file__).resolve().parents[2])).first_party([__name__])
    assert own[0] == __name__
    assert not {"pytest", "sys", "pathlib", "tracelock"} & {one.partition(".")[0] for one in own}


def work() -> None:
    pass


HIDDEN = """\
from registered import makers


def setup():
    return makers["account"]()


def add(account):
    account.add()


def check(account):
    return account.balance == 2
"""
LIBRARY = """\
import colorsys
import mimetypes


def setup():
    return {"line": []}


def work(state):
    if not state["line"]:
        colorsys.rgb_to_hls(0.5, 0.5, 0.5)
        state["line"].append(mimetypes.guess_type("a.txt")[0])
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_what_no_global_leads_to_is_looked_into_once_it_has_run(modules: Path) -> None:
    (modules / "accounts_hidden.py").write_text(CLASS)
    (modules / "registered.py").write_text(
        "import accounts_hidden\n\nmakers = {'account': accounts_hidden.Account}\n"
        "del accounts_hidden\n"
    )
    (modules / "uses_hidden.py").write_text(HIDDEN)
    uses = importlib.import_module("uses_hidden")
    found = tracelock.explore(
        setup=uses.setup, workers=[uses.add] * 2, check=uses.check, schedules=100
    )
    assert found.failed and found.trace is not None
    assert "accounts_hidden" in found.trace.scenario["python"]["instrument"]
    assert set(found.confirmed.values()) == {"3/3"}
    again = tracelock.replay(
        found.trace, setup=uses.setup, workers=[uses.add] * 2, check=uses.check
    )
    assert again.reproduced


def test_imports_inside_of_functions_lead_to_modules(modules: Path) -> None:
    package = modules / "lazily"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("def f():\n    pass\n")
    (package / "other.py").write_text("def f():\n    pass\n")
    (package / "third.py").write_text("def f():\n    pass\n")
    (package / "begin.py").write_text(
        "import importlib\n\n\ndef f():\n    from lazily import inner\n    inner.f()\n\n\n"
        "class C:\n    @staticmethod\n    def g():\n        from . import other\n"
        "        other.f()\n        importlib.import_module('lazily.third')\n"
    )
    for name in ("inner", "other", "third", "begin"):
        importlib.import_module(f"lazily.{name}")
    own = Project(str(modules)).first_party(["lazily.begin"])
    assert own[0] == "lazily.begin"
    assert {"lazily.inner", "lazily.other", "lazily.third"} <= set(own)


def test_all_looks_into_libraries_that_the_workers_execute(modules: Path) -> None:
    (modules / "uses_library.py").write_text(LIBRARY)
    uses = importlib.import_module("uses_library")
    given = {"setup": uses.setup, "workers": [uses.work] * 2, "schedules": 20}
    own = tracelock.explore(**given)
    assert own.account is not None and "colorsys" in own.account.unlooked
    every = tracelock.explore(**given, instrument="all")
    assert every.account is not None and not every.account.unlooked
    assert {"colorsys", "mimetypes"} <= every.account.looked
    with pytest.raises(UsageError, match="a list of modules, or 'all'"):
        tracelock.explore(**given, instrument="every")


def test_a_trace_says_what_all_was(modules: Path) -> None:
    (modules / "uses_library_2.py").write_text(
        LIBRARY + "\n\ndef check(state):\n    assert len(state['line']) < 2\n"
    )
    uses = importlib.import_module("uses_library_2")
    given = {"setup": uses.setup, "workers": [uses.work] * 2, "check": uses.check}
    found = tracelock.explore(**given, instrument="all", schedules=20)
    assert found.failed and found.trace is not None
    looked = found.trace.scenario["python"]["instrument"]
    assert looked[:2] == ["uses_library_2", "all"] and "mimetypes" in looked
    assert tracelock.replay(found.trace, **given).reproduced


@pytest.mark.parametrize("name", ["importlib", "asyncio.events", "importlib._bootstrap"])
def test_what_control_stands_on_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot be looked into"):
        tracelock.explore(workers=[work], instrument=[name])


def test_threading_can_be_looked_into_and_keeps_its_threads(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = tracelock.explore(
        setup=threading.Event, workers=[threading.Event.set] * 2, instrument=["threading"],
        check=threading.Event.is_set, schedules=20,
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), found.summary
    assert not capfd.readouterr().err


async def _waits(state: list[int]) -> None:
    await asyncio.sleep(0)
    state.append(1)
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.1))


@pytest.mark.parametrize("name", ["asyncio", "weakref", "concurrent"])
def test_asyncio_can_be_looked_into_all_the_same(name: str) -> None:
    found = tracelock.explore(
        setup=list, workers=[_waits] * 2, check=lambda made: len(made) == 2, instrument=[name],
        schedules=30,
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), found.summary


def test_modules_that_are_loaded_lazily_stay_so(modules: Path) -> None:
    (modules / "still_lazy.py").write_text("raise RuntimeError('nobody asked for it')\n")
    (modules / "holds_lazy.py").write_text(
        "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('still_lazy')\n"
        "loader = importlib.util.LazyLoader(spec.loader)\n"
        "spec.loader = loader\n"
        "lazy = importlib.util.module_from_spec(spec)\n"
        "sys.modules['still_lazy'] = lazy\n"
        "loader.exec_module(lazy)\n\n\n"
        "def work():\n    pass\n"
    )
    holds = importlib.import_module("holds_lazy")
    found = tracelock.explore(workers=[holds.work] * 2, schedules=4, strategy="random")
    assert found.verdict == "passed", found.summary
    assert "Lazy" in type(sys.modules["still_lazy"]).__name__
    del sys.modules["still_lazy"]
