"""What mutated files are given to.

A target is a row: how its input is made, and the command lines that read it, with ``FILE`` for the
input and ``OUT`` for a place to write.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.fuzz import mutate
from tracelock.cli.main import INTERNAL, main
from tracelock.cli.options import REPORTS

SEARCH: Final = (
    "--schedules",
    "15",
    "--seconds",
    "1",
    "--backend",
    "simulated",
    "--max-steps",
    "200",
)
#: Scenarios that checkpoints and first traces are for.
GOOD: Final = mutate.ROOT / "scenarios" / "unlocked_counter.yaml"


#: Shares of the inputs: of what reads, of what runs a schedule or some, and of what searches.
QUICK: Final = 10
RUNS: Final = 3
SEARCHES: Final = 1


@dataclass(frozen=True)
class Target:
    """``make`` gives the bytes of the input; one of ``commands`` is drawn.

    ``share``: how many inputs it gets for one of a target that takes ten times as long.
    """

    name: str
    make: Callable[[Random], bytes]
    commands: tuple[tuple[str, ...], ...]
    ending: str = ".json"
    share: int = QUICK


class TooLong(BaseException):
    """The time of one input is up."""


def checkpoint(random: Random) -> bytes:
    """A mutated checkpoint of a search."""
    return mutate.written(random, mutate.mutated(random, _checkpoint()))


_made: list[Any] = []


def _checkpoint() -> Any:
    if not _made:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "checkpoint.json")
            with quiet():
                main(["explore", str(mutate.ROOT / "scenarios" / "philosophers.yaml"), "--strategy",
                      "dpor", "--schedules", "3", "--all", "--checkpoint", str(path),
                      "--no-trace"])  # fmt: skip
            whole = json.loads(path.read_text()) if path.exists() else {}
            whole.pop("digest", None)  # so that what is changed is looked at
            _made.append(whole)
    return _made[0]


def kept(random: Random) -> bytes:
    """What stands in ``.tracelock/`` of somebody else's repository."""
    return mutate.trace(random) if random.random() < 0.8 else random.randbytes(random.randrange(99))


_SCENARIO, _TRACE = mutate.scenario, mutate.trace
TARGETS: Final = (
    Target("validate", _SCENARIO, (("validate", "FILE"),)),
    Target("validate yaml", _SCENARIO, (("validate", "FILE"),), ".yaml"),
    Target("run", _SCENARIO, (("run", "FILE", "--backend", "simulated", "--max-steps", "200",
                              "--max-seconds", "1", "--no-trace"),), share=RUNS),
    Target("explore", _SCENARIO, (("explore", "FILE", *SEARCH, "--no-trace", "--no-confirm"),),
           share=SEARCHES),
    Target("show", _TRACE, (("show", "FILE"), ("show", "FILE", "--json"),
                           ("show", "FILE", "--around", "3"))),
    Target("analyze", _TRACE, (("analyze", "FILE"), ("analyze", "FILE", "--json"))),
    Target("report", _TRACE, tuple(
        ("report", "FILE", "-o", "OUT", "--as", form) for form in REPORTS
    )),
    Target("attach", _TRACE, (("attach", "FILE"), ("attach", "FILE", "--around", "2"))),
    Target("replay", _TRACE, (("replay", "FILE"), ("replay", "FILE", "--backend", "simulated"),
                             ("replay", "FILE", "--backend", "asyncio", "--json")),
           share=RUNS),
    Target("shrink", _TRACE, (("shrink", "FILE", "-o", "OUT", "--no-confirm"),)),
    Target("predict", _TRACE, (("predict", "FILE", "--no-trace"),), share=RUNS),
    Target("recover", _TRACE, (("recover", "FILE", "-o", "OUT"),)),
    Target("checkpoint", checkpoint, (
        ("explore", str(mutate.ROOT / "scenarios" / "philosophers.yaml"), "--strategy", "dpor",
         "--all", "--no-trace", "--checkpoint", "FILE", "--schedules", "20", "--seconds", "1"),),
           share=SEARCHES),
    Target("first", _TRACE, (("explore", str(GOOD), "--first", "FILE", "--no-trace", *SEARCH),),
           share=RUNS),
    Target(".tracelock", kept, ()),
)  # fmt: skip


@contextlib.contextmanager
def quiet() -> Any:
    """Output goes into a text."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        yield text


@dataclass
class Tried:
    """How one input went: seconds, what is wrong (None: nothing), and whether the command took
    it as good."""

    seconds: float
    wrong: str | None
    taken: bool = False


def try_one(target: Target, number: int, folder: Path, limit: float) -> Tried:
    """Give input ``number`` to ``target``, in a folder of its own; ``limit`` in seconds."""
    random = Random(f"{target.name} {number}")
    data = target.make(random)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    for entry in os.scandir(work):  # sooner done than to make the folder anew
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)
    path = work / f"input{target.ending}"
    path.write_bytes(data)
    names = {"FILE": str(path), "OUT": str(work / "out")}

    def late(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, late)
    begun = time.monotonic()
    wrong, status = None, 0
    try:
        signal.setitimer(signal.ITIMER_REAL, limit)
        with quiet() as text:
            if target.commands:
                command = [names.get(word, word) for word in random.choice(target.commands)]
                status = main(command)
                if status == INTERNAL:
                    wrong = f"{' '.join(command[:1])}: {text.getvalue()[-1500:]}"
            else:
                from tracelock.pytest_plugin.kept import earlier

                earlier(path)
    except TooLong:
        wrong = f"longer than {limit:g} seconds"
    except BaseException as error:
        wrong = f"{type(error).__name__}: {error}"[:1500]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return Tried(time.monotonic() - begun, wrong, wrong is None and status != 2)


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
