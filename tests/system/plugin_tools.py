"""Running pytest within a test, with this checkout's plugin."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import tracelock

ROOT = Path(__file__).resolve().parents[2]
#: Nothing where the plugin is installed, which is how users have it.
PLUGIN = (
    ()
    if any(one.value == "tracelock.pytest_plugin" for one in entry_points(group="pytest11"))
    else ("-p", "tracelock.pytest_plugin")
)

#: In a test file: what two threads may do to a counter, and how they do.
COUNTER = """
class Counter:
    def __init__(self):
        self.lock, self.n = threading.Lock(), 0

    def add(self):
        with self.lock:
            self.n += 1

    def race(self):
        self.n += 1


def both(*functions):
    threads = [threading.Thread(target=one) for one in functions * (2 // len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


"""

# An inner run of pytest in this process forgets what it imports: all of ours has to be there
# before, or the next one would have a second copy of some modules.
for _found in pkgutil.walk_packages(tracelock.__path__, "tracelock."):
    if not _found.name.endswith("__main__"):
        importlib.import_module(_found.name)


def run(pytester: pytest.Pytester, *arguments: str, others: bool = False) -> pytest.RunResult:
    """Run pytest in this process; without the plugins of others, which take long to import."""
    options = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    if others:
        options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    else:
        options += [f"-pno:{name}" for name in ("xdist", "asyncio", "anyio", "hypothesispytest")]
    if "--tracelock" in arguments:  # what is to be found is found however slow the machine is
        options += ["-o", "tracelock_seconds=20"]
    return pytester.runpytest_inprocess(*PLUGIN, *options, *arguments)


def summary(result: pytest.RunResult) -> list[str]:
    """The node ids under which a replay command is told."""
    lines = result.stdout.lines
    return [lines[place - 1] for place, line in enumerate(lines) if "  replay it: " in line]
