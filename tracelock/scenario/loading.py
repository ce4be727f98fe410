"""Scenarios from documents: all problems are reported at once, each with its place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import Problem, ScenarioError
from tracelock.scenario.documents.document import MAX_DEPTH, CutDocument, Document
from tracelock.scenario.documents.reading import MAX_BYTES, Kind, read_document, read_text
from tracelock.scenario.faults import MAX_FAULTS, Damage, Fault, Path, path_text

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario

#: The parts of a path such as ``workers.transfer.steps[0].do[1]``.
_PART: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def load_scenario(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Scenario:
    """The scenario in a file: JSON if its name ends with ``.json``, else YAML.

    Raises ScenarioError with all problems, also where the file cannot be read.
    """
    name = os.fspath(path)
    return load_scenario_text(read_text(name, max_bytes), name, max_bytes=max_bytes)


def load_scenario_text(
    text: str, name: str = "scenario", kind: Kind | None = None, *, max_bytes: int = MAX_BYTES
) -> Scenario:
    """The scenario in ``text``; ``name`` stands in messages and says the kind if that is None.

    Raises ScenarioError with all problems.
    """
    try:
        document = read_document(text, name, kind, max_bytes)
    except CutDocument as cut:
        raise _error([*cut.problems, *_before(cut)], name) from None
    scenario, faults = _understand(document.data)
    problems = list(document.problems)
    problems += [
        _locate(fault, document) for fault in faults if not _inside(fault.path, document.broken)
    ]
    if problems:
        raise _error(problems, name)
    if scenario is None:  # what is broken cannot be left out, and it alone is at fault
        raise _error([Problem(name, 1, 1, "", "this is not a scenario")], name)
    return scenario.located(_finder(document))


def _before(cut: CutDocument) -> list[Problem]:
    """What is wrong with a document before the place where it cannot be read any further, as far as
    the rest cannot change that: whatever is missing or unknown may stand there."""
    document = cut.document
    if not isinstance(document.data, Mapping):
        return []
    _, faults = _understand(document.data, Damage(everything=True))
    return [
        _locate(fault, document)
        for fault in faults
        if fault.path[:1] != ("python",)  # it names workers, which may come later
        and not cut.doubtful(fault.path)
        and not _inside(fault.path, document.broken)
    ]


def _finder(document: Document) -> Callable[[str], tuple[str, int, int]]:
    def find(at: str) -> tuple[str, int, int]:
        path = tuple(int(number) if number else name for number, name in _PART.findall(at))
        return (document.name, *document.value_at(path, 0))

    return find


def scenario_from_data(data: Any, name: str = "scenario") -> Scenario:
    """The scenario that plain data describes, as a trace holds it.

    Raises ScenarioError with all problems; they have paths, but no lines.
    """
    if _too_deep(data):
        message = f"nested deeper than {MAX_DEPTH} levels"
        raise ScenarioError([Problem(name, 0, 0, "", message)])
    scenario, faults = _understand(data)
    if faults or scenario is None:
        raise _error([Problem(name, 0, 0, path_text(f.path), f.message) for f in faults], name)
    return scenario


def _understand(data: Any, before: Damage | None = None) -> tuple[Scenario | None, list[Fault]]:
    """The scenario if there is nothing wrong, and else what is. ``before``: what is known to be
    missing from ``data``."""
    from pydantic import ValidationError

    from tracelock.scenario.checks.scenario import check
    from tracelock.scenario.documents.explain import explain, repair
    from tracelock.scenario.language.models import FORMAT, Scenario

    faults: list[Fault] = []
    if isinstance(data, Mapping) and "format" not in data:
        faults.append(Fault((), f'missing key "format" (it is "{FORMAT}")'))
    try:
        scenario = Scenario.model_validate(data, by_name=False)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        reported, implied = explain(errors[: MAX_FAULTS + 1], data)
        faults += reported
        repaired = repair(data, [*reported, *implied])
        if repaired is not None:
            rest, damage = repaired
            damage.everything |= before is not None and before.everything
            try:
                scenario = Scenario.model_validate(rest, by_name=False)
            except ValidationError:
                return None, faults
            # A fault of the first kind at the same place says it better.
            known = {fault.path for fault in faults}
            faults += [fault for fault in check(scenario, damage) if fault.path not in known]
        return None, faults
    faults += check(scenario, before)
    return (None if faults else scenario), faults


def _locate(fault: Fault, document: Document) -> Problem:
    if fault.on_key:
        line, column = document.key_at(fault.path)
    else:
        line, column = document.value_at(fault.path, fault.offset)
    return Problem(document.name, line, column, path_text(fault.path), fault.message)


def _inside(path: Path, broken: Container[Path]) -> bool:
    return any(path[:length] in broken for length in range(len(path) + 1))


def _error(problems: list[Problem], name: str) -> ScenarioError:
    problems = list(dict.fromkeys(sorted(problems, key=lambda p: (p.line, p.column))))
    if len(problems) > MAX_FAULTS:
        problems[MAX_FAULTS:] = [Problem(name, 0, 0, "", "and more problems than can be told")]
    return ScenarioError(problems)


def _too_deep(data: object) -> bool:
    """Whether data is nested more deeply than a document may be (or holds itself)."""
    level = [data] if isinstance(data, Mapping | list | tuple) else []
    for _ in range(MAX_DEPTH):
        # By identity: what stands in many places is looked at once.
        inner = {
            id(value): value
            for outer in level
            for value in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(value, Mapping | list | tuple)
        }
        level = list(inner.values())
    return bool(level)
