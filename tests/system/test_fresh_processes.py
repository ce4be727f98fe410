"""Single properties that only a process of its own shows: imports, hash seeds, crashes, kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.test_samplers import STRATEGIES, digest
from tests.unit.test_trace_recovery import same_events, sample
from tracelock.trace import recover

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", ["yaml", "json"])
@pytest.mark.parametrize("opening", ["[", '{"a": ', "[{'a': ", "- ", "? "])
def test_depth_is_bounded_without_a_crash(kind: str, opening: str) -> None:
    code = (
        "import sys\n"
        "from tracelock.scenario.documents.reading import read_document\n"
        "from tracelock.errors import ScenarioError\n"
        "try:\n"
        "    read_document(sys.argv[2] * 100_000, 'f', sys.argv[1])\n"
        "except ScenarioError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, kind, opening],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("f:1:") and done.stdout.count("\n") == 1
    if opening == "[":
        assert done.stdout == "f:1:101: nested deeper than 100 levels\n"


def test_needs_no_pydantic() -> None:
    code = (
        "import sys, tracelock.scenario, tracelock.scenario.language.expressions\n"
        "import tracelock.scenario.compile.layout, tracelock.scenario.loading\n"
        "assert 'pydantic' not in sys.modules and 'yaml' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_python_code_is_explored_without_what_scenarios_and_shared_searches_need(
    tmp_path: Path,
) -> None:
    """And a second exploration imports nothing more."""
    (tmp_path / "sample.py").write_text(
        "class Box:\n    def __init__(self):\n        self.value = 0\n"
        "def step(box):\n    box.value += 1\n"
        "async def task(box):\n    box.value += 1\n"
    )
    code = (
        "import sys, tracelock\n"
        "from sample import Box, step, task\n"
        "def explore(worker):\n"
        "    assert tracelock.explore(setup=Box, workers=[worker]).verdict == 'verified'\n"
        "    return {name for name in sys.modules if name.startswith('tracelock.')}\n"
        "for worker in (step, task):\n"
        "    loaded = explore(worker)\n"
        "    assert explore(worker) == loaded\n"
        "room = tuple(f'tracelock.{name}' for name in ('scenario.language', 'scenario.documents',\n"
        "    'scenario.checks', 'session.scenarios', 'session.spreading', 'explore.spread'))\n"
        "assert not [name for name in loaded if name.startswith(room)]\n"
        "assert 'pydantic' not in sys.modules and 'yaml' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_the_same_picks_whatever_the_hash_seed() -> None:
    here = {strategy: digest(strategy) for strategy in STRATEGIES}
    assert here == {strategy: digest(strategy) for strategy in STRATEGIES}
    code = (
        "import json; from tests.conformance.test_samplers import *\n"
        "print(json.dumps({strategy: digest(strategy) for strategy in STRATEGIES}))"
    )
    for seed in ("1", "4321"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert json.loads(done.stdout) == here


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_killed_recorder_loses_nothing_that_was_flushed(tmp_path: Path, name: str) -> None:
    program = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tests.unit.test_trace_recovery import TraceWriter, sample
writer = TraceWriter(sys.argv[1], sample().header())
writer.write(sample().events.part(0, 5))
writer.flush()
os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", program, str(tmp_path / name), str(ROOT)]
    done = subprocess.run(command, timeout=30, check=False)
    assert done.returncode == -9
    found = recover(tmp_path / f"{name}.partial")
    assert found.events_kept == 5
    assert same_events(found.trace.events, sample().events)


def test_assertions_that_pytest_rewrote_stay_rewritten(tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(
        "from tests.helpers.watching import Watcher, under\n"
        "from tracelock.instrument.rewrite.loading import Instrumentation\n"
        "def look(o):\n"
        "    assert o.n == 2\n"
        "class Box: n = 1\n"
        "def test_look():\n"
        "    watcher = Watcher()\n"
        "    with Instrumentation([__name__]) as made, under(watcher):\n"
        "        assert made.notes == []\n"
        "        box = Box()\n"
        "        box.__dict__['n'] = 1\n"
        "        try:\n"
        "            look(box)\n"
        "        except AssertionError as error:\n"
        "            text = str(error)\n"
        "    assert watcher.shown({'o': box}) == ['read o.n']\n"
        "    assert '.n' in text and 'assert 1 == 2' in text\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_inner.py"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


PROGRAM = """
import asyncio, json, sys
import tracelock

class State:
    def __init__(self):
        self.n = 0
        self.lock = asyncio.Lock()

async def work(s):
    n = s.n
    async with s.lock:
        await asyncio.sleep(0)
    s.n = n + 1

async def group(s):
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(work(s))

def check(s):
    assert s.n == 3, s.n

given = dict(setup=State, workers=[group, work], check=check)
if sys.argv[1] == "explore":
    found = tracelock.explore(**given, backend="asyncio", instrument=["__main__"])
    found.trace.save(sys.argv[2])
else:
    again = tracelock.replay(tracelock.load_trace(sys.argv[2]), **given)
    print(json.dumps([again.reproduced, str(again.diverged), len(again.trace.events)]))
"""


@pytest.mark.parametrize("seed", ["0", "7"])
def test_a_trace_replays_in_a_fresh_process(tmp_path: Path, seed: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    trace = tmp_path / "trace.json"
    for what in ("explore", "replay"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, str(program), what, str(trace)],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seed = str(int(seed) + 1)
    reproduced, diverged, events = json.loads(done.stdout)
    assert reproduced, diverged
    assert events


#: What each use does without. A name stands for all below it; what costs most is pydantic (0.25 s).
_WITHOUT = {
    "import tracelock": {
        "pydantic", "yaml", "rich", "jinja2", "asyncio", "dataclasses", "json", "tracelock.ops",
    },
    "tracelock run": {
        "jinja2", "anyio", "trio", "asyncio", "multiprocessing", "pytest", "dask", "ctypes",
        "tracelock.analysis", "tracelock.compare", "tracelock.explore", "tracelock.export",
        "tracelock.instrument", "tracelock.objects.anyio_locks", "tracelock.objects.anyio_streams",
        "tracelock.objects.asyncio_locks", "tracelock.objects.asyncio_waits",
        "tracelock.report.html", "tracelock.report.state", "tracelock.report.timeline",
        "tracelock.session.exploring", "tracelock.session.python",
    },
    "tracelock explore": {
        "jinja2", "anyio", "trio", "asyncio", "multiprocessing", "pytest", "dask", "ctypes",
        "tracelock.analysis.finders", "tracelock.compare", "tracelock.explore.shrink.scenario",
        "tracelock.export", "tracelock.instrument.hub", "tracelock.objects.anyio_locks",
        "tracelock.objects.anyio_streams", "tracelock.objects.asyncio_locks",
        "tracelock.objects.asyncio_waits", "tracelock.report.html", "tracelock.session.python",
    },
    "explore Python": {
        "pydantic", "yaml", "rich", "jinja2", "anyio", "trio", "pytest", "tracelock.analysis",
        "tracelock.cli", "tracelock.compare", "tracelock.export", "tracelock.report",
        "tracelock.scenario.language.models", "tracelock.scenario.program",
    },
}  # fmt: skip
_COMMAND = "from tracelock.cli.main import main; main(sys.argv[1:])"
_USES = {
    "import tracelock": "import tracelock",
    "tracelock run": _COMMAND,
    "tracelock explore": _COMMAND,
    "explore Python": (
        "import tracelock; found = tracelock.explore(workers=[list] * 2, setup=list);"
        "assert found.verdict == 'verified', found.summary"
    ),
}


@pytest.mark.parametrize("use", _USES)
def test_imports_no_more_than_it_needs(use: str) -> None:
    scenario = ROOT / "scenarios" / "unlocked_counter.yaml"
    command = [use.rpartition(" ")[2], str(scenario), "--no-trace"]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {_USES[use]}\nprint('IN', *sys.modules)", *command],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("IN ")[2].split()
    without = _WITHOUT[use]
    assert [
        name for name in loaded
        if any(name == one or name.startswith(f"{one}.") for one in without)
    ] == []  # fmt: skip


_REWRITES = """
import sys
from pathlib import Path
from tracelock.instrument.rewrite import codes

if sys.argv[1] == "reads":
    codes._compile = None
import email
for path in sorted(Path(email.__file__).parent.glob("[b-h]*.py")):
    codes.compiled(path.read_bytes(), str(path), f"email/{path.name}", f"email.{path.stem}")
"""


def test_processes_share_what_was_rewritten(tmp_path: Path) -> None:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    command = [sys.executable, "-c", _REWRITES]
    both = [subprocess.Popen([*command, "writes"], env=environment) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    subprocess.run([*command, "reads"], env=environment, check=True, timeout=60)
    kept = [path.name for path in tmp_path.rglob("*tracelock.*") if path.parent.name == "email"]
    assert len(kept) == len(set(kept)) > 3
    assert all(name.endswith("-tracelock.pyc") for name in kept)
