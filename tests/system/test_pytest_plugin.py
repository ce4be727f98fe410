"""The pytest plugin: what tests under control find, keep, tell and replay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.plugin_tools import PLUGIN, ROOT, run, summary
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]

ACCOUNT = """\
import threading

import pytest


class Account:
    def __init__(self, balance=0):
        self.balance = balance
        self.lock = threading.Lock()

    def add(self, amount):
        self.balance += amount

    def add_locked(self, amount):
        with self.lock:
            self.balance += amount


def both(method):
    threads = [threading.Thread(target=method, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
RACE = (
    ACCOUNT
    + """

@pytest.mark.tracelock(schedules=200)
def test_add():
    account = Account()
    both(account.add)
    assert account.balance == 2
"""
)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "180")


def kept(pytester: pytest.Pytester) -> list[Path]:
    return sorted(pytester.path.glob(".tracelock/*.json"))


def test_a_trace_that_cannot_be_kept_is_no_end_of_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_race=RACE)
    (pytester.path / ".tracelock").write_text("no folder")
    result = run(pytester, "--tracelock-json=none/out.json")
    result.assert_outcomes(failed=1)
    told = result.stdout.str() + result.stderr.str()
    assert "(not kept: cannot write" in told and "INTERNALERROR" not in told
    assert "--tracelock-json: cannot write none/out.json: No such file or directory" in told


# --- marked tests ----------------------------------------------------------------------------
def test_a_race_is_found_shown_kept_and_tried_first(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_race=RACE)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "AssertionError: assert 1 == 2" in text, "with the introspection of pytest"
    assert "where 1 = <test_race.Account object" in text
    assert "preempted" in text and "self.balance += amount" in text, "columns with source lines"
    assert "it takes 1 preemptive switch" in text
    assert "pytest_plugin" not in text and "Traceback" not in text, "no frame of ours"
    assert "\x1b[" not in text
    assert "FAILED test_race.py::test_add - ScheduleFailed: AssertionError: assert 1" in text

    (path,) = kept(pytester)
    assert path.name.startswith("test_race-test_add-") and path.suffix == ".json"
    trace = load_trace(path)
    assert trace.scenario["python"]["pytest"] == "test_race.py::test_add"
    assert trace.verdict.kind == "failed"
    line = f"  replay it: tracelock replay .tracelock/{path.name} --allow-call"
    assert line in result.stdout.lines

    again = run(pytester)
    again.assert_outcomes(failed=1)
    assert "failed: found after 1 schedule;" in again.stdout.str()

    mended = RACE.replace("both(account.add)", "both(account.add_locked)")
    pytester.makepyfile(test_race=mended)
    run(pytester).assert_outcomes(passed=1)
    assert not kept(pytester)


def test_in_continuous_integration_the_schedule_is_shown_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")  # pytest's summary then shows whole messages
    pytester.makepyfile(test_race=RACE)
    text = run(pytester, "--junitxml=told.xml").stdout.str()
    assert text.count("it takes 1 preemptive switch") == text.count("why: ") == 1
    assert "FAILED test_race.py::test_add - ScheduleFailed: AssertionError: assert 1 == 2\n" in text
    told = (pytester.path / "told.xml").read_text(encoding="utf-8")
    assert '<failure message="ScheduleFailed: AssertionError: assert 1 == 2">' in told
    assert "it takes 1 preemptive switch" in told


def test_what_was_kept_and_cannot_be_read_counts_for_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_race=RACE)
    run(pytester)
    (path,) = kept(pytester)
    path.write_text("{", encoding="utf-8")
    run(pytester).assert_outcomes(failed=1)
    assert load_trace(path).verdict.kind == "failed", "and is overwritten"


def test_only_marked_tests_are_under_control(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        ACCOUNT
        + """

runs = []

def test_plain():
    runs.append(type(threading.Lock()).__module__)
    assert runs == ["_thread"]


@pytest.mark.tracelock(schedules=5, strategy="random")
def test_controlled():
    runs.append(type(threading.Lock()).__module__)
    assert runs == ["_thread", "tracelock.instrument.threads.locks"]
    both(Account().add_locked)


def test_afterwards():
    assert runs == ["_thread"]  # what a schedule has changed is put back
    assert type(threading.Lock()).__module__ == "_thread"
"""
    )
    run(pytester).assert_outcomes(passed=3)


def test_classes_parameters_and_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_kinds=ACCOUNT
        + """

@pytest.fixture
def start():
    return 10


@pytest.mark.tracelock(schedules=50, strategy="random")
class TestAccount:
    @pytest.mark.parametrize("name", ["add", "add_locked"], ids=["a/../b", "c d"])
    @pytest.mark.tracelock(schedules=60)
    def test_both(self, start, name):
        account = Account(start)
        both(getattr(account, name))
        assert account.balance == start + 2
"""
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    (path,) = kept(pytester)
    assert path.parent == pytester.path / ".tracelock"
    assert load_trace(path).scenario["python"]["pytest"] == (
        "test_kinds.py::TestAccount::test_both[a/../b]"
    )


def test_a_deadlock_is_a_failure_with_who_waits(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import threading
        import pytest

        def take(first, second):
            with first, second:
                pass

        @pytest.mark.tracelock
        def test_abba():
            a, b = threading.Lock(), threading.Lock()
            one = threading.Thread(target=take, args=(a, b))
            one.start()
            take(b, a)
            one.join()
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "ScheduleFailed: deadlock" in text and "waits for" in text and "held by" in text


def test_how_else_a_test_may_end(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        ACCOUNT
        + """

@pytest.mark.tracelock(schedules=20)
def test_skips():
    pytest.skip("not today")


@pytest.mark.tracelock(schedules=20)
def test_gives_up():
    pytest.xfail("known")


@pytest.mark.xfail(raises=AssertionError, strict=True)
@pytest.mark.tracelock(schedules=100)
def test_known():
    account = Account()
    both(account.add)
    assert account.balance == 2


@pytest.mark.tracelock(schedules=20, expected_errors=[KeyError])
def test_expected():
    raise KeyError
"""
    )
    result = run(pytester)
    result.assert_outcomes(skipped=1, xfailed=2, passed=1)
    assert not kept(pytester), "a failure that is expected is no failure"


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("schedule=5", "has no keyword 'schedule' (did you mean \"schedules\"?)"),
        ("1000", "takes keywords only"),
        ("schedules=0", "a budget has to be more than nothing"),
        ("strategy='fast'", "unknown strategy 'fast'"),
        ("backend='twisted'", "unknown backend 'twisted'"),
        ("instrument='json'", "instrument=['json']"),
        ("instrument=['no_such_module']", "no_such_module cannot be imported"),
    ],
)
def test_a_mark_that_makes_no_sense(pytester: pytest.Pytester, mark: str, told: str) -> None:
    pytester.makepyfile(
        f"import pytest\n\n@pytest.mark.tracelock({mark})\ndef test_x():\n    pass\n"
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert told in result.stdout.str()
    assert "Traceback" not in result.stdout.str() and ">  " not in result.stdout.str()


def test_what_cannot_be_explored_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from hypothesis.stateful import RuleBasedStateMachine, rule

        class Machine(RuleBasedStateMachine):
            @rule()
            def nothing(self):
                pass

        TestMachine = pytest.mark.tracelock(Machine.TestCase)
        """
    )
    result = run(pytester, others=True)
    result.assert_outcomes(failed=1)
    assert "does not go with the state machines" in result.stdout.str()


def test_what_a_schedule_leaves_behind_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def basket():
            return iter([1])  # of which nobody can say where it is

        @pytest.mark.tracelock
        def test_leaves(basket):
            assert next(basket, None) == 1
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "the test is not deterministic" in text and "the fixture basket" in text
    assert not kept(pytester), "it is no schedule that fails"


def test_a_test_that_depends_on_more_than_its_schedule_is_warned_of(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        ACCOUNT
        + """

@pytest.fixture(scope="module")
def basket():
    return iter(range(1, 1000))  # of which nobody can say where it is

@pytest.mark.tracelock(schedules=20)
def test_grows(basket):
    for _ in range(next(basket)):
        both(Account().add_locked)
"""
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, warnings=result.parseoutcomes()["warnings"])
    assert "not deterministic" in result.stdout.str()
    assert "the fixture basket" in result.stdout.str()


def test_a_race_in_what_is_set_up_at_first_use_is_found(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        ACCOUNT
        + """

MADE = {}

class Service:
    instance = None
    def __init__(self):
        MADE[len(MADE)] = self

def get():
    if Service.instance is None:
        Service.instance = Service()

def run(work):
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

@pytest.mark.parametrize("run_number", range(6))
@pytest.mark.tracelock
def test_a_singleton(run_number):
    run(get)
    assert len(MADE) == 1

@pytest.fixture
def cache():
    return {}

@pytest.mark.tracelock
def test_a_fixture(cache):
    made = []
    def work():
        if "key" not in cache:
            made.append(1)
            cache["key"] = 1
    run(work)
    assert len(made) == 1
"""
    )
    result = run(pytester)
    result.assert_outcomes(failed=7)
    assert len(kept(pytester)) == 7
    assert "not deterministic" not in result.stdout.str()


def test_where_nothing_was_shown_nothing_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        ACCOUNT
        + """

@pytest.mark.tracelock(schedules=1)
def test_spins():
    account = Account()
    while True:
        with account.lock:
            pass
"""
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert "tracelock: unfinished" in result.stdout.str()


def test_only_the_output_of_the_last_schedule_is_shown(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        RACE.replace("account = Account()", 'print("one schedule")\n    account = Account()')
    )
    result = run(pytester)
    assert result.stdout.str().count("one schedule\n") == 1


# --- the fixture -----------------------------------------------------------------------------
EXPLORE = (
    ACCOUNT
    + """

def add(account):
    account.add(1)


def explored(explore):
    return explore(
        setup=Account, workers=[add, add], check=lambda account: account.balance == 2,
        schedules=100,
    )


def test_fails(tracelock_explore):
    explored(tracelock_explore).raise_for_failure()


def test_asserts(tracelock_explore):
    assert explored(tracelock_explore).verdict == "verified"


def test_knows(tracelock_explore):
    assert explored(tracelock_explore).failed
"""
)


def test_the_fixture_keeps_what_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_fixture=EXPLORE)
    result = run(pytester)
    result.assert_outcomes(failed=2, passed=1)
    text = result.stdout.str()
    assert "preempted" in text
    assert "----- tracelock -----" in text, "where the exception does not show it"
    assert [load_trace(path).scenario["python"]["pytest"] for path in kept(pytester)] == [
        "test_fixture.py::test_asserts", "test_fixture.py::test_fails",
    ]  # fmt: skip
    again = run(pytester, "-k", "test_fails")
    assert "found after 1 schedule;" in again.stdout.str()
    pytester.makepyfile(test_fixture=EXPLORE.replace("account.add(1)", "account.add_locked(1)"))
    run(pytester).assert_outcomes(failed=1, passed=2)
    assert not kept(pytester)


# --- replay ----------------------------------------------------------------------------------
def replay(pytester: pytest.Pytester, path: Path, *node: str) -> pytest.RunResult:
    return run(pytester, "--tracelock-replay", str(path), "--tracelock-replay-status", *node)


@pytest.mark.parametrize("source", [RACE, EXPLORE], ids=["marked", "fixture"])
def test_a_kept_trace_is_replayed(pytester: pytest.Pytester, source: str) -> None:
    name = "test_add" if source is RACE else "test_fails"
    pytester.makepyfile(test_it=source)
    run(pytester, "-k", name)
    (path,) = kept(pytester)
    node = f"test_it.py::{name}"
    before = path.read_bytes()

    result = replay(pytester, path, node)
    assert "still fails: reproduced, it ended as recorded" in result.stdout.lines
    assert "preempted" in result.stdout.str()
    assert (result.ret, path.read_bytes()) == (100, before)
    whole = replay(pytester, path)
    assert whole.ret == 100
    if source is EXPLORE:
        whole.assert_outcomes(failed=1, skipped=2)

    text = (pytester.path / "test_it.py").read_text(encoding="utf-8")
    changed = text.replace("balance == 2", "balance >= 1")
    pytester.makepyfile(test_it=changed)
    result = replay(pytester, path, node)
    assert result.ret == 101
    result.stdout.fnmatch_lines(["passes now: not reproduced, the schedule ends well *test_it.py*"])

    changed = text.replace("both(account.add)", "account.add(2)").replace("add(1)", "add_locked(1)")
    pytester.makepyfile(test_it=changed)
    assert replay(pytester, path, node).ret in (101, 103)

    pytester.makepyfile(test_it=text.replace("def test_", "def test_no_"))
    assert replay(pytester, path, node).ret == pytest.ExitCode.USAGE_ERROR, "there is no such test"


def test_the_command_line_replays_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_race=RACE)
    run(pytester)
    (path,) = kept(pytester)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tracelock", "replay", str(path)]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, env=environment, check=False
        )

    refused = call()
    assert refused.returncode == 2 and "--allow-call" in refused.stderr
    done = call("--allow-call")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "still fails: reproduced, it ended as recorded" in done.stdout
    (pytester.path / "test_race.py").unlink()
    gone = call("--allow-call")
    assert gone.returncode == 2 and "there is no test_race.py" in gone.stderr


def test_a_trace_of_no_test_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_race=RACE)
    other = ROOT / "traces" / "unlocked_counter.json"
    result = run(pytester, "--tracelock-replay", str(other))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "is not of a test" in result.stderr.str()


# --- other plugins, and none -------------------------------------------------------------------
def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            heavy = {"pydantic", "rich", "trio", "anyio", "asyncio", "yaml"} & set(sys.modules)
            if sys.version_info >= (3, 14):
                heavy.discard("asyncio")  # which pdb needs, and pytest that
            own = [name for name in sys.modules if name.startswith("tracelock.")]
            print("loaded:", sorted(heavy), own)
        """
    )
    pytester.makepyfile("def test_plain(request):\n    assert request.node\n")
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "tracelock.pytest_plugin"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout
    assert "loaded: [] ['tracelock.pytest_plugin']" in done.stdout, done.stdout


def test_with_xdist(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        test_one=RACE, test_two=RACE.replace("both(account.add)", "both(account.add_locked)")
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n", "2")
    result.assert_outcomes(failed=1, passed=1)
    (path,) = kept(pytester)
    assert f"  replay it: tracelock replay .tracelock/{path.name} --allow-call" in (
        result.stdout.lines
    )
    assert summary(result) == ["test_one.py::test_add"]


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_plain_tests_beside_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(test_race=RACE)
    result = run(pytester, "-o", f"asyncio_mode={mode}", others=True)
    result.assert_outcomes(failed=1)
    assert "preempted" in result.stdout.str()
