"""What a subject of a campaign is as a target: the one place here where code is imported that a
file names."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from tracelock.backends.calls import check_calls
from tracelock.campaign.found import OF_CODE, PROGRAM, WORKERS, CampaignSubject
from tracelock.errors import UsageError
from tracelock.scenario.loading import load_scenario_text
from tracelock.session.code import PythonCode
from tracelock.session.python import PythonTarget
from tracelock.session.target import Target
from tracelock.session.targets import target_for

#: The names in a program's module that ``explore`` is given as they are, and then its backend.
GIVEN: Final = (
    "setup", "check", "always", "instrument", "expected_errors", "cancellations", "cancellable",
    "gc", "crash_consistency", "recover",
)  # fmt: skip


def target_of_subject(
    subject: CampaignSubject, *, allow_call: bool, path: Sequence[str] = ()
) -> tuple[Target, str]:
    """The target, and the backend that it is to be searched on ("": its natural one).

    ``path``: where modules are looked for besides. Raises UsageError or ScenarioError where it
    cannot be searched; code is imported with ``allow_call`` alone.
    """
    check_calls(allow_call)
    if subject.problem:
        raise UsageError(subject.problem)
    if subject.kind not in OF_CODE:
        scenario = load_scenario_text(subject.text, subject.file)
        return target_for(scenario, allow_call=allow_call), subject.backend
    if not allow_call:
        raise UsageError("it runs Python code, which has to be allowed: --allow-call")
    for folder in (*path, *filter(None, [subject.root])):
        if folder not in sys.path:
            sys.path.append(folder)
    if subject.kind != PROGRAM:
        scenario = load_scenario_text(subject.text, subject.file)
        return target_for(scenario, allow_call=allow_call), subject.backend
    return _of_module(subject)


def _of_module(subject: CampaignSubject) -> tuple[Target, str]:
    try:
        module: Any = importlib.import_module(subject.module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot import it: {type(error).__name__}: {error}") from error
    wanted = os.path.join(subject.root, *subject.module.split(".")) + ".py"
    where = getattr(module, "__file__", None) or "a module without a file"
    if os.path.realpath(where) != os.path.realpath(wanted):
        raise UsageError(
            f"the module {subject.module} is another one here ({where}): give the file another name"
        )
    given = {name: getattr(module, name) for name in GIVEN if hasattr(module, name)}
    workers = getattr(module, WORKERS)
    try:
        code = PythonCode(list(workers), **given)
        program = code.program(leads=[subject.module])
    except TypeError as error:
        raise UsageError(f"it is no program: {error}") from error
    return PythonTarget(lambda: program, program.name), str(getattr(module, "backend", ""))
