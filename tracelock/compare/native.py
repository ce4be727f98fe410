"""One timed run of an exported program, in a Python process of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final

from tracelock.export.program import plain_program
from tracelock.scenario.language.models import Scenario

#: What each of its processes may take at most, of memory (addresses, in bytes) and of files that it
#: writes, what it prints among them: the program is a stranger's, and runs without us. Processor
#: time: see ``Workshop.run``.
BOUNDS: Final = {"RLIMIT_AS": 4 << 30, "RLIMIT_FSIZE": 64 << 20, "RLIMIT_CORE": 0}
#: What runs there. It must not need tracelock: the interpreter may be another one.
CHILD: Final = r'''
import contextlib, io, json, sys, time

config = json.loads(sys.argv[1])
try:
    import resource
except ImportError:  # no such bounds on this system
    pass
else:
    for name, bound in config["bounds"].items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(getattr(resource, name), (bound, bound))
file = config["file"]
if config["switch_interval"] is not None:
    sys.setswitchinterval(config["switch_interval"])
with open(file, encoding="utf-8") as text:
    code = compile(text.read(), file, "exec")
space = {"__name__": "program", "__file__": file}
exec(code, space)
backend = config["backend"]

if backend == "multiprocessing":
    import multiprocessing
    from multiprocessing.sharedctypes import RawArray

    def numbers():
        return RawArray("q", 8)
else:
    def numbers():
        return [0] * 8

if backend == "threading":
    import threading
    me = threading.get_ident
elif backend == "multiprocessing":
    import os
    me = os.getpid
elif backend == "asyncio":
    import asyncio
    me = lambda: id(asyncio.current_task())
else:
    import trio
    me = lambda: id(trio.lowlevel.current_task())

now = time.perf_counter_ns
WAITED, HELD, TAKEN, AGAIN, LAST, SINCE, BUSY = range(7)


class Timed:
    """A lock that measures. What is counted is counted while it is held."""

    def __init__(self, lock, many):
        self.lock = lock
        self.many = many  # a semaphore: several may be inside, so holding has no one clock
        self.n = numbers()

    def got(self, waited):
        n = self.n
        n[WAITED] += waited
        n[TAKEN] += 1
        mine = me()
        n[AGAIN] += n[LAST] == mine
        n[LAST] = mine
        n[SINCE] = now()

    def gone(self):
        self.n[HELD] += now() - self.n[SINCE]

    def acquire(self, *args, **kwargs):
        if args or kwargs:
            begun = now()
            if not self.lock.acquire(*args, **kwargs):
                return False
            self.got(now() - begun)
            return True
        if self.lock.acquire(False):
            self.got(0)
        else:
            begun = now()
            self.lock.acquire()
            self.got(now() - begun)
        return True

    def release(self):
        self.gone()
        self.lock.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *exc):
        self.release()

    def locked(self):
        return self.lock.locked()


class TimedTask(Timed):
    async def acquire(self):
        begun = now()
        free = not self.lock.locked() if hasattr(self.lock, "locked") else self.lock.value > 0
        await self.lock.acquire()
        self.got(0 if free else now() - begun)
        return True

    def acquire_nowait(self):
        self.lock.acquire_nowait()
        self.got(0)

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, *exc):
        self.release()


timed = []
for name, many in config["timed"]:
    kind = TimedTask if backend in ("asyncio", "trio") else Timed
    real = space[name]
    made = [kind(one, many) for one in real] if isinstance(real, list) else kind(real, many)
    timed += made if isinstance(real, list) else [made]
    space[name] = made

out = io.StringIO()
begun = time.perf_counter()
with contextlib.redirect_stdout(out):
    status = space["main"]()
seconds = time.perf_counter() - begun


def value(name):
    own = space[config["variables"][name]]
    if name in config["arrays"]:
        return list(own)
    return own.value if name in config["cells"] else own


gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(json.dumps({
    "status": status, "seconds": seconds, "output": out.getvalue()[-2000:],
    "state": {name: value(name) for name in config["variables"]},
    "waited": sum(t.n[WAITED] for t in timed), "held": sum(t.n[HELD] for t in timed),
    "taken": sum(t.n[TAKEN] for t in timed), "again": sum(t.n[AGAIN] for t in timed),
    "python": sys.version.split()[0], "gil": gil,
}))
'''


@dataclass(slots=True)
class Prepared:
    """A scenario as a program on disk, ready to be run."""

    scenario: Scenario
    backend: str
    file: str
    config: dict[str, Any]


class Workshop:
    """A folder with programs. A context manager: the folder goes with it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tracelock-")
        self.child = os.path.join(self._folder.name, "child.py")
        with open(self.child, "w", encoding="utf-8") as file:
            file.write(CHILD)
        self._made = 0

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()

    def prepare(self, scenario: Scenario, backend: str, patience: float) -> Prepared:
        """Write the program of a scenario. ``patience``: seconds after which it counts as stuck."""
        plain = plain_program(scenario, backend)
        self._made += 1
        file = os.path.join(self._folder.name, f"program{self._made}.py")
        source = re.sub(
            r"^PATIENCE = (\S+)",
            lambda m: f"PATIENCE = {min(float(m[1]), patience):g}",
            plain.source,
            flags=re.M,
        )
        with open(file, "w", encoding="utf-8") as out:
            out.write(source)
        conditions = {d.lock for d in scenario.objects.values() if d.lock is not None}
        timed = [
            (plain.objects[name], decl.type not in ("lock", "rlock"))
            for name, decl in scenario.objects.items()
            if decl.type in ("lock", "semaphore", "bounded_semaphore") and name not in conditions
        ]
        arrays = [name for name, value in scenario.shared.items() if isinstance(value, list)]
        config = {
            "file": file, "backend": backend, "timed": timed, "variables": plain.variables,
            "arrays": arrays, "cells": sorted(plain.cells), "switch_interval": None,
        }  # fmt: skip
        return Prepared(scenario, backend, file, config)

    def run(
        self,
        prepared: Prepared,
        *,
        python: str | None = None,
        timed: bool = False,
        switch_interval: float | None = None,
        seconds: float = 60.0,
    ) -> dict[str, Any]:
        """Run once; what the child printed, or ``{"error": ...}`` where it could not.

        ``timed``: with locks that measure. ``seconds``: after which it is killed, with all that
        it has started; what it may take of memory is in ``BOUNDS``.
        """
        bounds = {**BOUNDS, "RLIMIT_CPU": math.ceil(seconds * (os.cpu_count() or 1)) + 1}
        config = dict(prepared.config, switch_interval=switch_interval, bounds=bounds)
        if not timed:
            config["timed"] = []
        command = [python or sys.executable, "-E", "-s", self.child, json.dumps(config)]
        # into files, not pipes: its bound on files is one on what it prints, too
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return {"error": f"not done after {seconds:.0f} s"}
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            last = _last_line(out)
            if process.returncode != 0 or not last:
                return {"error": (_last_line(err) or "no output")[:200]}
        found: dict[str, Any] = json.loads(last)
        return found


def _last_line(file: IO[bytes]) -> str:
    """The last line of a file that is not blank, else nothing."""
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
