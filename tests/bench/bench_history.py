"""Linearizability of published histories: the verdict of each, and what it cost.

``python tests/bench/bench_history.py FOLDER`` reads the test data of Porcupine
(github.com/anishathalye/porcupine): the etcd histories of ``jepsen`` and the key-value histories of
``kv``, with the verdicts that its own test file ``porcupine_test.go`` expects (for ``kv`` the name
says it). Nothing of it is kept here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tracelock.history.models import RegisterSpec, Sequential, returns
from tracelock.history.models.base import CallResult
from tracelock.history.operations import Operation
from tracelock.history.recording import History

_ETCD = re.compile(r"INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$")
_KV = re.compile(r'\{:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (nil|"(.*)")\}$')


class KeyValue(Sequential):
    """``get``, ``put`` and ``append`` of texts by key."""

    def initial(self) -> str:
        return ""

    def key(self, operation: Operation) -> str:
        return str(operation.args[0])

    def on_get(self, state: str, key: str) -> Sequence[CallResult]:
        return returns(state, state)

    def on_put(self, state: str, key: str, value: str) -> Sequence[CallResult]:
        return returns(None, value)

    def on_append(self, state: str, key: str, value: str) -> Sequence[CallResult]:
        return returns(None, state + value)


def etcd(text: str) -> History:
    """A call that timed out is pending; a read that did, never was."""
    history, open_calls = History(), {}
    for line in text.splitlines():
        found = _ETCD.match(line)
        if not found:
            continue
        process, kind, name, value = found.groups()
        if kind == "invoke":
            numbers = [int(one) for one in re.findall(r"\d+", value)]
            names = {"cas": "compare_exchange"}
            open_calls[process] = history.begin(names.get(name, name), *numbers, worker=process)
        elif "timed-out" in value:
            if name == "read":
                history.cancelled(open_calls.pop(process))
        else:
            got: Any = None
            if name == "read":
                got = None if value == "nil" else int(value)
            elif name == "cas":
                got = kind == "ok"
            history.returned(open_calls.pop(process), got)
    return history


def key_value(text: str) -> History:
    history, open_calls = History(), {}
    for line in text.splitlines():
        found = _KV.match(line)
        assert found, line
        process, kind, name, key, _, value = found.groups()
        if kind == "invoke":
            given = [key] if name == "get" else [key, value]
            open_calls[process] = history.begin(name, *given, worker=process)
        else:
            history.returned(open_calls.pop(process), value if name == "get" else None)
    return history


def main(folder: Path) -> int:
    wanted = {
        int(number): verdict == "true"
        for number, verdict in re.findall(
            r"checkJepsen\(t, (\d+), (\w+)\)", (folder / "porcupine_test.go").read_text()
        )
    }
    wrong, undecided, spent, slowest = 0, 0, 0.0, (0.0, "")
    cases = [
        (folder / f"test_data/jepsen/etcd_{number:03}.log", etcd, RegisterSpec(), right)
        for number, right in sorted(wanted.items())
    ]
    cases += [
        (path, key_value, KeyValue(), "ok" in path.name)
        for path in sorted((folder / "test_data/kv").glob("*.txt"))
    ]
    for path, read, model, right in cases:
        history = read(path.read_text())
        begun = perf_counter()
        result = history.check(model, most=20_000_000, seconds=120)
        seconds = perf_counter() - begun
        spent += seconds
        slowest = max(slowest, (seconds, path.name))
        undecided += result.verdict == "unfinished"
        if result.verdict == ("not linearizable" if right else "linearizable"):
            wrong += 1
            print(f"WRONG {path.name}: {result.verdict} ({result.reason})")
        if read is key_value:
            print(
                f"{path.name}: {result.verdict}, {len(history.operations):,} calls, "
                f"{result.cost:,} on the model, {seconds:.2f} s"
            )
    print(
        f"{len(cases)} histories, {wrong} wrong, {undecided} undecided, {spent:.1f} s; "
        f"slowest {slowest}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
