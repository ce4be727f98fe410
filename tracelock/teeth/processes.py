"""The processes in which mutants are tried. Each has an end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.teeth.child import VARIABLE

#: The module whose ``main`` a process runs, by what it is asked about.
_MAINS: Final = {
    "call": "tracelock.teeth.child", "document": "tracelock.teeth.child",
    "pytest": "tracelock.pytest_plugin.teeth",
}  # fmt: skip
_START: Final = "import sys; sys.path.insert(0, {home!r}); from {module} import main; main()"
#: Beyond the seconds of its search a process has twice as many, and these: it starts, imports what
#: it runs, makes a failing schedule small, and writes a trace.
_GRACE: Final = 30.0
_LINES: Final = 12


class TrialProcesses:
    """Runs trials. ``folder``: for the files between this process and the others; ``running``:
    processes that have not ended."""

    def __init__(self, folder: str, mode: str, request: dict[str, Any]) -> None:
        if not sys.executable:
            raise UsageError("the running interpreter does not know its own path (sys.executable)")
        self.folder = folder
        self.mode = mode
        self.request = request
        self._numbers = count(1)
        self.running: set[subprocess.Popen[bytes]] = set()
        self._over = False

    def run(
        self, seconds: float, mutant: dict[str, Any] | None, modules: list[str] | None,
        late: Sequence[str] = (),
    ) -> dict[str, Any]:  # fmt: skip
        """The answer of one process: see ``child.Trial``. ``log``: the end of what it wrote;
        ``spent``: the seconds that it took."""
        number = next(self._numbers)
        paths = {
            name: os.path.join(self.folder, f"{number}-{name}.json")
            for name in ("request", "answer", "trace")
        }
        request = {
            **self.request, "mode": self.mode, "modules": modules, "mutant": mutant,
            "late": list(late), "seconds": seconds, "answer": paths["answer"],
            "trace": paths["trace"],
        }  # fmt: skip
        Path(paths["request"]).write_text(json.dumps(request), encoding="utf-8")
        log = os.path.join(self.folder, f"{number}.log")
        begun = monotonic()
        status = self._wait(paths["request"], log, seconds * 2 + _GRACE)
        try:
            answer: dict[str, Any] = json.loads(Path(paths["answer"]).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            why = f"exit status {status}" if status is not None else "it did not end in time"
            answer = {"verdict": "ended", "summary": f"its process gave no answer ({why})",
                      "reached": True}  # fmt: skip
        if answer.get("trace"):
            answer["trace"] = paths["trace"]
        answer["log"], answer["spent"] = _end_of(log), monotonic() - begun
        return answer

    def _wait(self, request: str, log: str, seconds: float) -> int | None:
        """Start one and wait for its end; None where it had to be ended."""
        home = str(Path(__file__).resolve().parents[2])
        command = [
            sys.executable, "-c", _START.format(home=home, module=_MAINS[self.mode]),
        ]  # fmt: skip
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, VARIABLE: request}, start_new_session=os.name == "posix",
            )  # fmt: skip
            self.running.add(process)
            try:
                return process.wait(0 if self._over else seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                self.running.discard(process)
                _end(process)

    def end(self) -> None:
        """End those that run, and have none begin any more: other threads wait for them."""
        self._over = True
        for process in list(self.running):
            _kill(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended, and what it has started."""
    if process.poll() is None:
        _kill(process)
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _end_of(path: str) -> str:
    with contextlib.suppress(OSError):
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line for line in lines[-_LINES:] if line.strip())
    return ""
