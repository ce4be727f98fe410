"""The replay of a trace of a test: pytest runs the test, with the trace to follow."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tracelock.errors import UsageError

#: The plugin adds this to the exit status of a replay, to tell it from pytest's own.
FINISHED: Final = 100
#: The plugin that changes the module of a mutant, beside the other one.
MUTANT_PLUGIN: Final = "tracelock.pytest_plugin.mutating"
#: Statuses of pytest where it did not come to that: 2 was interrupted, 3 is internal.
_STATUSES: Final = {0: 2, 1: 2, 2: 130, 3: 4, 4: 2, 5: 2}


def replay_test(node: str, options: argparse.Namespace, debugger: list[str]) -> int:
    """Replay the trace, or the token, of a test: let pytest run it, with that to follow.
    ``debugger``: the options of pytest under which the plugin debugs it instead, or the like."""
    if options.json:
        raise UsageError("the trace is of a test, which pytest replays: there is no --json of it")
    if node.startswith("-"):
        raise UsageError(f"{node!r} is no test")
    if importlib.util.find_spec("pytest") is None:
        raise UsageError(f"the trace is of the test {node}, and pytest is not installed")
    alone = ["-n0"] if importlib.util.find_spec("xdist") is not None else []
    plugin = [] if _plugin_installed() else ["-p", "tracelock.pytest_plugin"]
    path = os.path.abspath(options.trace)
    given = ["--tracelock-replay", path] if options.token is None else [
        f"--tracelock-token={options.token}"
    ]  # fmt: skip
    command = [
        sys.executable, "-m", "pytest", "-q", "--no-header", *alone, *plugin,
        *given, "--tracelock-replay-status", *debugger, "--", node,
    ]  # fmt: skip
    with _interrupts_for_the_child(any(one.startswith("--") for one in debugger)):
        status = subprocess.run(command, check=False, cwd=_root_of(node, path)).returncode
    return status - FINISHED if status >= FINISHED else _STATUSES.get(status, 4)


def _root_of(node: str, path: str) -> str | None:
    """The folder that a node id is relative to: this one, else the nearest above the trace."""
    file = node.partition("::")[0]
    folder = os.getcwd()
    if os.path.exists(os.path.join(folder, file)):
        return None
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder):
        if os.path.exists(os.path.join(folder, file)):
            return folder
        folder = os.path.dirname(folder)
    raise UsageError(f"the trace is of the test {node}, and there is no {file} here")


def _plugin_installed() -> bool:
    """Whether pytest finds the plugin by itself."""
    from importlib.metadata import entry_points

    return any(entry.value == "tracelock.pytest_plugin" for entry in entry_points(group="pytest11"))


@contextmanager
def _interrupts_for_the_child(wanted: bool) -> Iterator[None]:
    """While this is entered, Ctrl-C is for the child process that debugs, and nothing to this."""
    if not wanted:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
