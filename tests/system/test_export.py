"""Exported programs: what they do is what the models say, and a forced one fails every time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tracelock
from tests.helpers.programs import Ran, in_a_child, ran
from tests.helpers.scenario_strategies import FIRST, STEPS
from tests.oracles.brute import Found, TooMany, all_states
from tests.oracles.generate import THEMES, generate
from tracelock.backends.rules import ASYNCIO_RULES, THREADING_RULES, TRIO_RULES
from tracelock.errors import ImpossibleHere, UnsupportedError, UsageError
from tracelock.export.program import plain_program
from tracelock.objects import frozen
from tracelock.ops import Op
from tracelock.scenario.language.models import BACKENDS, Scenario
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.session import check_supported
from tracelock.session.exporting import export
from tracelock.trace import Trace, load_trace

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "scenarios").glob("*.yaml"))
TRACES = sorted((ROOT / "traces").glob("*.json"))
RULES = {"threading": THREADING_RULES, "asyncio": ASYNCIO_RULES, "trio": TRIO_RULES}
TIMES = 20


def supports(scenario: Scenario, backend: str) -> bool:
    try:
        check_supported(scenario, backend)
    except UnsupportedError:
        return False
    return True


def is_possible(result: Ran, found: Found, scenario: Scenario) -> bool:
    """Whether brute force knows an end like this one: of this kind, in this state.

    Where a worker failed, the others may have gone on since, while the models stop at once: then
    the kind counts. So it does where a condition of ``always`` can fail: a program on its own
    looks at these at its end only.
    """
    early = any(outcome.verdict in ("failed:always", "failed:error") for outcome in found.outcomes)
    of_a_worker = any(re.match(r"failed: [^:]+: \w*(Error|Block|Full|Empty)", line)
                      for line in result.lines)  # fmt: skip
    if early or scenario.always or of_a_worker:
        kinds = found.verdicts
        return result.kind in kinds or (result.kind == "deadlock" and "failed" in kinds)
    wanted = {"failed": "failed:finally"}.get(result.kind, result.kind)
    return (wanted, frozen(result.values)) in found.outcomes


# --- free programs ---------------------------------------------------------------------------
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@in_a_child
def test_every_file_becomes_a_program(path: Path) -> None:
    scenario = load_scenario(path)
    for backend in BACKENDS:
        if not supports(scenario, backend):
            with pytest.raises(UnsupportedError):
                export(scenario, backend)
            continue
        source = export(scenario, backend)
        compile(source, path.name, "exec")
        assert "import tracelock" not in source
        assert max(map(len, source.splitlines())) <= 100
        if backend == "multiprocessing" or backend not in scenario.expect:
            continue
        # what is known of all schedules holds for the one that runs here
        verdict = scenario.expect[backend].verdict
        bad = {"passes": "passed", "fails": "failed", "deadlock": "deadlock"}[verdict]
        result = ran(source, patience=0.3 if bad == "deadlock" else 20)
        assert result.kind in ("passed", bad), (backend, result, source)


@pytest.mark.parametrize("backend", ["threading", "asyncio", "trio"])
@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme != "timeouts"])
@in_a_child
def test_what_a_free_program_does_is_possible(theme: str, backend: str) -> None:
    tried = refused = 0
    for seed in range(40):
        scenario = scenario_from_data(generate(seed, theme, 800))
        if not supports(scenario, backend):
            refused += 1
            continue
        try:
            found = all_states(Program(scenario), RULES[backend], limit=20_000)
        except TooMany:
            continue
        plain = plain_program(scenario, backend)
        # where nothing can hang, patience is what a slow machine needs
        patience = 0.15 if "deadlock" in found.verdicts else 20
        result = ran(plain.source, plain, scenario, patience)
        if result.kind == "deadlock" and not is_possible(result, found, scenario):
            result = ran(plain.source, plain, scenario, 20)  # it was only slow
        assert is_possible(result, found, scenario), (result, found.outcomes, plain.source)
        tried += 1
        if tried == 6:
            return
    assert tried or refused == 40, "every scenario is too large to compare"
    assert tried >= 3 or (theme, backend) in NOT_THERE


#: What a backend has not (a scenario or two of the theme may do without).
NOT_THERE = {
    ("rlocks", "asyncio"), ("rlocks", "trio"), ("barriers", "trio"), ("events", "trio"),
    ("queues", "trio"),
}  # fmt: skip


_ALONE = frozenset(
    {"wait", "notify", "spawn", "join", "cancel", "call", "crash", "timeout", "sleep", "acquire",
     "put", "get", "work"}
)  # fmt: skip


def _kept(steps: Any) -> list[Any]:
    """Steps without those that need somebody else, or time."""
    found = []
    for step in steps:
        if isinstance(step, dict):
            quick = step.get("blocking") is False and "timeout" not in step
            if _ALONE & set(step) and not quick:
                continue
            step = {
                key: _kept(value) if isinstance(value, list) and key != "args" else value
                for key, value in step.items()
            }
        elif step == "crash":
            continue
        found.append(step)
    return found


@given(steps=STEPS, count=st.integers(0, 9))
@example(steps=[{"fetch_add": "flag", "by": "'on'"}], count=0)  # a text is added to nothing
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_worker_alone_does_what_the_simulated_backend_does(steps: list[Any], count: int) -> None:
    data = {
        "format": "tracelock-scenario/1",
        "name": "alone",
        "shared": {"counter": count, "flag": "no", "balance": [100, 1.5]},
        "objects": {
            "guard": "lock", "account": {"type": "lock", "count": 2}, "reentrant": "rlock",
            "permits": {"type": "semaphore", "value": 2}, "go": "event",
            "jobs": {"type": "queue", "order": "fifo"},
            "ready": "condition", "meet": {"type": "barrier", "parties": 2},
        },
        "workers": {"main": {"steps": [FIRST, *_kept(steps)]}},
    }  # fmt: skip
    scenario = scenario_from_data(data)
    limits = tracelock.RunLimits(steps=2000)
    trace = tracelock.run(scenario, backend="simulated", strategy="random", seed=1, limits=limits)
    if trace.verdict.kind == "unfinished" or "NameError" in trace.verdict.message:
        return  # an endless loop
    if "while" in json.dumps(data) and trace.verdict.kind != "passed":
        return
    plain = plain_program(scenario, "threading")
    patience = 0.1 if trace.verdict.kind == "deadlock" else 20
    result = ran(plain.source, plain, scenario, patience)
    assert result.kind == trace.verdict.kind, (result, trace.verdict, plain.source)
    state = trace.verdict.state
    expected = [state["counter"], state["flag"], *state["balance"]]
    assert frozen(result.values) == frozen(tuple(expected)), plain.source


# --- forced programs -------------------------------------------------------------------------
def shows(result: Ran, trace: Trace) -> bool:
    """Whether a forced program ended as its trace does, for the reason that the trace gives."""
    verdict = trace.verdict
    if result.status != 1:
        return False
    if verdict.kind == "deadlock":
        stuck = [line.partition(" waits")[0] for line in result.lines if " waits at line" in line]
        here = {one.worker for one in verdict.blocked} <= set(stuck)
        return here and "turn[" not in result.text
    assert verdict.kind == "failed"
    if verdict.failure == "finally":
        return "is false" in result.text
    return "failed:" in result.text


@in_a_child
def test_forced_programs_fail_every_time() -> None:
    """Every recorded failure, twenty times, on its own backend; side by side, as most of the time
    they wait."""
    jobs = []
    for path in TRACES:
        trace = load_trace(path)
        if trace.backend == "multiprocessing":
            continue
        jobs += [(path.stem, trace, export(trace, trace.backend))] * TIMES
    with ThreadPoolExecutor(200) as pool:
        results = list(pool.map(lambda job: ran(job[2], patience=2.0), jobs))
    for (name, trace, source), result in zip(jobs, results, strict=True):
        if "turn[" in result.text:
            # Some hundred threads share the machine: a worker whose turn had come was not woken in
            # two seconds. A turn that never comes shows with any patience.
            result = ran(source, patience=60.0)
        assert shows(result, trace), (name, result, source)


ALL_OF_PROCESSES = """
import sys, json, io, contextlib
for file in sys.argv[2:]:
    source = open(file).read()
    ends = []
    for _ in range(int(sys.argv[1])):
        space = {"__name__": "program", "__file__": file}
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(source, file, "exec"), space)
            status = space["main"]()
        ends.append([status, out.getvalue()])
    print(json.dumps([file, ends]))
"""


def run_processes(times: int, files: list[str]) -> dict[str, list[list[Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", ALL_OF_PROCESSES, str(times), *files],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return dict(json.loads(line) for line in done.stdout.splitlines())


def forced_on_processes(folder: Path, names: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The recorded failures as programs of processes: those that end, and those that hang."""
    quick, slow = [], []
    for path in TRACES:
        trace = load_trace(path)
        if names and path.stem not in names:
            continue
        if not supports(scenario_from_data(trace.scenario), "multiprocessing"):
            continue
        try:
            source = export(trace, "multiprocessing")
        except tracelock.Divergence:  # on its rules this ends otherwise
            continue
        file = folder / f"{path.stem}.py"
        file.write_text(source.replace("PATIENCE = 2 ", "PATIENCE = 0.7 "), encoding="utf-8")
        (quick if trace.verdict.kind == "failed" else slow).append(str(file))
    return quick, slow


def test_forced_processes_fail_every_time(tmp_path: Path) -> None:
    names = ("unlocked_counter", "double_checked", "crash_holding_lock", "deadlock_ab_ba")
    quick, slow = forced_on_processes(tmp_path, names)
    assert (len(quick), len(slow)) == (2, 2)
    for file, ends in run_processes(TIMES, quick).items():
        assert len(ends) == TIMES
        assert all(status == 1 and "failed:" in out for status, out in ends), (file, ends)
    for file, ends in run_processes(1, slow).items():
        assert all(status == 1 and "as in the trace:" in out for status, out in ends), (file, ends)


@pytest.mark.soak
def test_all_forced_processes_every_time(tmp_path: Path) -> None:
    quick, slow = forced_on_processes(tmp_path)
    assert len(quick) >= 8 and len(slow) >= 5
    for file, ends in run_processes(TIMES, quick).items():
        assert all(status == 1 and "failed:" in out for status, out in ends), (file, ends)
    for file, ends in run_processes(TIMES, slow).items():
        assert all(status == 1 and "as in the trace:" in out for status, out in ends), (file, ends)


@pytest.mark.parametrize("theme", ["variables", "locks", "semaphores", "conditions", "queues"])
@in_a_child
def test_a_random_schedule_is_followed(theme: str) -> None:
    """Any schedule of any scenario, not only shrunk ones: the same end, the same final state."""
    followed = 0
    for seed in range(12):
        scenario = scenario_from_data(generate(seed, theme, 800))
        trace = tracelock.run(scenario, backend="threading", strategy="random", seed=seed)
        plain = plain_program(scenario, "threading", trace)
        hangs = trace.verdict.kind == "deadlock"
        result = ran(plain.source, plain, scenario, 0.4 if hangs else 20)
        assert result.kind == trace.verdict.kind, (result, trace.verdict, plain.source)
        if not hangs and trace.verdict.kind == "passed":
            expected = [trace.verdict.state[name] for name in scenario.shared]
            assert list(result.values) == expected, plain.source
            followed += 1
    assert followed or theme == "semaphores"


# --- scripts as people run them ---------------------------------------------------------------
def script(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "bug.py"
    file.write_text(source, encoding="utf-8")
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-I", str(file)], capture_output=True, text=True, timeout=60, env=alone
    )  # fmt: skip


def test_a_deadlock_is_told_with_lines_and_holders(tmp_path: Path) -> None:
    done = script(tmp_path, export(ROOT / "traces" / "deadlock_ab_ba.json", "threading"))
    assert done.returncode == 1
    assert "transfer[0] waits at line" in done.stdout
    assert "with account[1 - index]:" in done.stdout
    assert "held by transfer[1]" in done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scenario_runs_alone(tmp_path: Path, backend: str) -> None:
    done = script(tmp_path, export(ROOT / "scenarios" / "locked_counter.yaml", backend))
    assert (done.returncode, done.stdout.strip()) == (0, "passed: counter = 2"), done.stderr


def test_an_unlocked_counter_reads_as_a_person_would_write_it() -> None:
    source = export(ROOT / "scenarios" / "locked_counter.yaml", "threading")
    expected = """
def incrementer():
    global counter
    with count_lock:
        counter = counter + 1
"""
    assert expected.replace("incrementer()", "incrementer(index)") in source


def test_forty_lines_or_so() -> None:
    source = export(ROOT / "traces" / "deadlock_ab_ba.json", "threading")
    code = source.split('"""\n', 2)[-1]
    assert sum(1 for line in code.splitlines() if line.strip()) <= 60


def test_an_interleaving_that_another_backend_forbids_is_refused() -> None:
    with pytest.raises(ImpossibleHere):
        export(ROOT / "traces" / "unlocked_counter.json", "asyncio")


def test_a_trace_goes_to_another_backend_where_it_is_possible(tmp_path: Path) -> None:
    done = script(tmp_path, export(ROOT / "traces" / "unlocked_counter.json", "multiprocessing"))
    assert done.returncode == 1
    assert "counter == 2 is false: counter = 1" in done.stdout


def test_a_long_free_run_is_shrunk_first() -> None:
    scenario = load_scenario(ROOT / "scenarios" / "check_then_act_await.yaml")
    for seed in range(200):
        trace = tracelock.run(scenario, backend="threading", strategy="random", seed=seed)
        if trace.verdict.kind == "failed":
            break
    trace.mode, trace.strategy = "recorded", None
    assert trace.verdict.kind == "failed"
    assert export(trace, "threading").count("turn[") <= 12


# --- tests -----------------------------------------------------------------------------------
def pytest_run(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "test_bug.py"
    file.write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_regression_test_fails_until_the_code_is_mended(tmp_path: Path) -> None:
    source = export(ROOT / "traces" / "unlocked_counter.json", "pytest")
    assert "import tracelock" not in source
    done = pytest_run(tmp_path, source)
    assert done.returncode == 1 and "1 failed" in done.stdout
    head, body = source.split("    seen_counter = counter\n", 1)
    body, tail = body.split("\n\n\nfailures", 1)
    inner = "".join(f"    {line}\n" for line in f"    seen_counter = counter\n{body}".splitlines())
    mended = head + "    with guard:\n" + inner + "\n\nfailures" + tail
    mended = mended.replace("counter = 0\n", "counter = 0\nguard = threading.Lock()\n", 1)
    done = pytest_run(tmp_path, mended)
    assert done.returncode == 0, done.stdout + mended


def test_the_test_of_a_scenario_explores_it(tmp_path: Path) -> None:
    source = export(ROOT / "scenarios" / "unlocked_counter.yaml", "pytest")
    done = pytest_run(tmp_path, source)
    assert done.returncode == 1 and "counter == 2 is false" in done.stdout
    source = export(ROOT / "scenarios" / "unlocked_counter.yaml", "pytest", backend="asyncio")
    assert pytest_run(tmp_path, source).returncode == 0


# --- what strangers may write ----------------------------------------------------------------
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_scenario_becomes_code(text: str) -> None:
    nasty = text + '"""\nimport os; os.abort()\n"""' + "\\"
    data = {
        "format": "tracelock-scenario/1", "name": nasty, "description": nasty,
        "shared": {"x": nasty},
        "workers": {"w": {"steps": [{"if": "x == 1", "then": [{"fail": nasty}]}]}},
    }  # fmt: skip
    scenario = scenario_from_data(data)
    for backend in BACKENDS:
        source = export(scenario, backend)
        names = compile(source, "x", "exec").co_names
        assert "abort" not in names
    plain = plain_program(scenario, "threading")
    result = ran(plain.source, plain, scenario)
    assert result.status == 0 and result.values == (nasty,)
    compile(export(scenario, "pytest"), "x", "exec")


def test_names_that_python_uses_itself() -> None:
    words = ["print", "threading", "turn", "main", "len", "run", "failures", "time", "self"]
    data = {
        "format": "tracelock-scenario/1", "name": "names",
        "shared": {word: 0 for word in words if word != "len"},
        "objects": {"lock": "lock", "sys": "event"},
        "workers": {
            "match": {"steps": [{"set": "sys"}, {"write": "print", "value": "time + 1"}]},
            "alive": {"count": 2, "steps": [
                {"let": {"args": "index", "worker": "args + 1"}},
                {"with": "lock", "do": [{"write": "turn", "value": "turn + worker"}]},
            ]},
        },
    }  # fmt: skip
    scenario = scenario_from_data(data)
    for backend in ("threading", "asyncio", "trio"):
        plain = plain_program(scenario, backend)
        result = ran(plain.source, plain, scenario)
        assert (result.status, result.values[0], result.values[2]) == (0, 1, 3), plain.source


def test_refusals() -> None:
    scenario = load_scenario(ROOT / "scenarios" / "locked_counter.yaml")
    with pytest.raises(UsageError, match="one of threading"):
        export(scenario, "cobol")
    with pytest.raises(UsageError, match="pytest test only"):
        export(scenario, "threading", backend="trio")
    trace = load_trace(ROOT / "traces" / "unlocked_counter.json")
    trace.scenario["python"] = {"setup": "bank:setup"}
    with pytest.raises(UsageError, match="replayed on the backend that it was recorded on"):
        export(trace, "asyncio")
    with pytest.raises(UsageError, match="no step at a source line"):
        export(trace, "threading")


def test_ops_are_known() -> None:
    """Every verb of the language has a way into a program of a backend that can do it."""
    from tracelock.export.program import BODIES
    from tracelock.scenario.language.verbs import VERBS

    assert Op  # the vocabulary these stand for
    for verb in VERBS:
        able = [
            name for name, body in BODIES.items()
            if hasattr(body, f"on_{verb}") or hasattr(body, f"on_{verb}_")
        ]  # fmt: skip
        assert able, verb
