"""What a checkpoint says of a search of real code, and by what it knows the program.

Code cannot be stored: what is, is what was chosen in the tree of the search, and who goes on from
there runs the schedules that lead to it again. So the program has to be the same one: its functions
by name, its options, the version of Python, and each source file that its schedules have run.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from tracelock.errors import TraceError, UsageError
from tracelock.explore.running import Executed
from tracelock.explore.search import Key, Outcome, Searched, outcome_key
from tracelock.explore.spread.checkpoint import DAMAGED, CheckpointFile, digest, rules_digest
from tracelock.explore.spread.relearning import Relearning
from tracelock.explore.spread.sources import LearningChunks
from tracelock.instrument import callers
from tracelock.instrument.program import module_of
from tracelock.instrument.rewrite.sites import source_of
from tracelock.session.elsewhere.knowledge import Noticed
from tracelock.trace import Verdict
from tracelock.trace.reading import load_trace_text

if TYPE_CHECKING:
    from tracelock.session.python_host import PythonHost

Source = LearningChunks | Relearning


# --- which search it is ----------------------------------------------------------------------
def identity_of(host: PythonHost) -> dict[str, Any]:
    """What a checkpoint knows the program and its options by, before anything of it has run."""
    program, settings = host.program, host.settings
    data = program.to_data({}, {})
    called = [program.setup, *program.workers, program.check, program.recover]
    limits = settings.bounds(host.target)
    return {
        "scenario": digest([
            data, [_told(one) for one in called], settings.isolation, settings.interpreter,
            program.listens, program.outside, [limits.seconds, limits.stall],
        ]),
        "name": host.target.name, "backend": settings.backend,
        "rules": rules_digest(host.backend.rules), "clock": settings.clock,
        "steps": limits.steps, "engine": "real",
        "python": f"{sys.implementation.name} {sys.version.partition('(')[0].strip()}",
    }  # fmt: skip


def _told(function: Any) -> str:
    """What a function is told from others by: a partial one, or an object that is called, has
    values with it."""
    if function is None or isinstance(function, (FunctionType, BuiltinFunctionType, type)):
        return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        return pickle.dumps(function, 5).hex()
    except Exception as error:
        raise UsageError(
            f"a checkpoint cannot tell {type(function).__name__} from another one ({error}): give "
            "functions of a module"
        ) from error


def files_of(host: PythonHost) -> dict[str, list[str]]:
    """By module, the source file and its digest, of all that schedules have run so far and of what
    the given functions are in. Not of the standard library, which the version stands for."""
    program, account = host.program, host.account
    functions = [program.setup, *program.workers, program.check, program.recover]
    names = {name for one in functions if one is not None and (name := module_of(one)) is not None}
    names |= account.looked | account.unlooked | set(host.sources.modules)
    found = {}
    for name in sorted(names):
        path = source_of(name)
        if path is not None and not _standard(path):
            found[name] = [path, callers.digest(path)]
    return found


def _standard(path: str) -> bool:
    folder = os.path.dirname(os.__file__)
    return path.startswith(folder + os.sep) and "site-packages" not in path


def changed_files(recorded: dict[str, list[str]]) -> list[str]:
    """The modules whose source is not what it was."""
    return [name for name, (path, was) in recorded.items() if _digest_now(name, path) != was]


def _digest_now(name: str, path: str) -> str | None:
    try:
        return callers.digest(source_of(name) or path)
    except OSError:
        return None


# --- where it stands -------------------------------------------------------------------------
def written(
    source: Source, found: Searched, traces: dict[Key, str], noticed: Noticed | None,
    files: dict[str, list[str]],
) -> dict[str, Any]:  # fmt: skip
    """Where a stage stands, as JSON."""
    if isinstance(source, Relearning):
        left: dict[str, Any] = {"tree": source.to_data()}
    else:
        left = {"done": source.done, "known": json.loads(source.known)}
    return {
        **left, "schedules": found.schedules, "redundant": found.redundant, "files": files,
        "outcomes": [
            [traces.get(key), one.kind, one.message, one.count, one.schedule]
            for key, one in found.outcomes.items()
        ],
        "noticed": None if noticed is None else noticed.to_data(),
    }  # fmt: skip


def gone_on(
    checkpoint: CheckpointFile, kept: dict[str, Any], source: Source, found: Searched,
    traces: dict[Key, str],
) -> Noticed | None:  # fmt: skip
    """Put a stage where a checkpoint says that it stood. Raises UsageError where that is damaged,
    or of another version of the program."""
    try:
        changed = changed_files(kept["files"])
        if changed:
            raise checkpoint.other(f"the source of {', '.join(changed)} has changed since")
        for text, kind, message, count, schedule in kept["outcomes"]:
            verdict = Verdict(str(kind), message=str(message))
            if text is not None:
                verdict = load_trace_text(text, checkpoint.path).verdict
                traces[outcome_key(verdict)] = text
            executed, key = Executed([], [], verdict, 0), outcome_key(verdict)
            found.outcomes[key] = Outcome.of(executed, int(count), int(schedule))
        found.schedules = int(kept["schedules"])
        found.redundant = int(kept["redundant"])
        if isinstance(source, Relearning):
            source.go_on(kept["tree"])
        else:
            source.done = source._next = int(kept["done"])
            source.known = json.dumps(kept["known"]).encode()
        return None if kept["noticed"] is None else Noticed.from_data(kept["noticed"])
    except UsageError:
        raise
    except (*DAMAGED, TraceError) as error:
        raise checkpoint.damaged(error) from error
