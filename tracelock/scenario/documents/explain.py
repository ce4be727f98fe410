"""Pydantic's errors in the words of the language, and the data without what they are about."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracelock.scenario.faults import Damage, Fault, Path
from tracelock.scenario.language.base import DocumentModel
from tracelock.scenario.language.expressions import quote, suggest, there_are
from tracelock.scenario.language.kinds import MESSAGE, kind_of
from tracelock.scenario.language.models import (
    FORMAT,
    Expectation,
    ObjectDecl,
    Scenario,
    WorkerDecl,
)
from tracelock.scenario.language.objects import OBJECTS
from tracelock.scenario.language.python import PythonDecl
from tracelock.scenario.language.verbs import BARE_WORDS, KEYS, VERBS, verbs_in

#: Keys that hold a list of steps.
BLOCKS: Final = frozenset({
    "steps",
    *(p.key for row in VERBS.values() for p in row.model.parts if p.kind.name == "block"),
})  # fmt: skip
_DECLARATIONS: Final[dict[str, type[DocumentModel]]] = {
    "objects": ObjectDecl,
    "workers": WorkerDecl,
    "expect": Expectation,
}
_HEADINGS: Final = {"format": FORMAT, "name": "unnamed", "description": ""}


def explain(errors: Iterable[Any], data: Any) -> tuple[list[Fault], list[Fault]]:
    """One fault for each of pydantic's ``errors()`` about ``data``, in plain sentences.

    The second list holds what follows from another: a key is missing because it is misspelt.
    """
    found: list[tuple[str, Path, Fault]] = []
    meant: set[tuple[Path, str]] = set()  # keys that a misspelt one was probably meant to be
    for error in errors:
        path = _path(error["loc"], data)
        value = error["input"]
        match error["type"]:
            case "extra_forbidden":
                fault, better = _unknown_key(path, data)
                meant.add((path[:-1], better))
            case "missing":
                path = _path(error["loc"][:-1], data)
                name = str(error["loc"][-1])
                fault = Fault(path, f"missing key {quote(name)}{_needed_by(path, data)}")
                found.append((name, path, fault))
                continue
            case "union_tag_not_found":
                fault = Fault(path, _no_step(value))
            case "model_type" | "model_attributes_type" | "dict_type":
                fault = Fault(path, f"{_mapping_wanted(path)} belongs here, not {kind_of(value)}")
            case "list_type":
                what = "steps" if _is_block(path) else "expressions"
                fault = Fault(path, f"a list of {what} belongs here, not {kind_of(value)}")
            case "recursion_loop":
                fault = Fault(path, "nested too deeply")
            case other:
                context = error.get("ctx", {})
                at = context.get("at", ()) if other == MESSAGE else ()
                fault = Fault((*path, *at), str(error["msg"]))
        found.append(("", path, fault))
    faults = [fault for name, path, fault in found if not name or (path, name) not in meant]
    return faults, [fault for name, path, fault in found if name and (path, name) in meant]


def repair(data: Any, faults: Iterable[Fault]) -> tuple[Any, Damage] | None:
    """A copy of ``data`` without the faulty parts, and what is not known of it any more.

    None where too little would be left to say anything about.
    """
    if not isinstance(data, Mapping):
        return None
    data = copy.deepcopy(dict(data))
    damage = Damage()
    for fault in faults:
        if not _remove(data, fault, damage):
            return None
    for name, value in _HEADINGS.items():
        data.setdefault(name, value)
    return data, damage


def find(data: Any, path: Sequence[str | int]) -> Any:
    """The value at ``path``, or Ellipsis where there is none."""
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part, ...)
        elif isinstance(data, list | tuple) and isinstance(part, int) and 0 <= part < len(data):
            data = data[part]
        else:
            return ...
    return data


def _path(loc: Iterable[str | int], data: Any) -> Path:
    """Pydantic's location as a path of the document, cut where the document has no more."""
    path: list[str | int] = []
    for part in loc:
        if part == "[key]":
            break
        inner = find(data, [part])
        if inner is ...:
            if isinstance(part, str) and part.startswith("<"):
                continue  # the tag of a step's model
            break
        path.append(part)
        data = inner
    return tuple(path)


def _unknown_key(path: Path, data: Any) -> tuple[Fault, str]:
    name, owner = str(path[-1]) if path else "", path[:-1]
    around = find(data, owner)
    verbs = verbs_in(around) if _in_steps(owner) and isinstance(around, Mapping) else []
    if verbs:
        known: Sequence[str] = KEYS[verbs[0]]
        what = f" for {verbs[0]}"
    else:
        model: type[DocumentModel] = Scenario
        if owner == ("python",):
            model = PythonDecl
        elif len(owner) == 2:
            model = _DECLARATIONS.get(str(owner[0]), Scenario)
        known = [info.serialization_alias or key for key, info in model.model_fields.items()]
        what = ""
    present = around if isinstance(around, Mapping) else {}
    hint = suggest(name, [key for key in known if key not in present])
    if not hint and verbs and suggest(name, VERBS):
        other = suggest(name, VERBS).split('"')[1]
        message = f"unknown key {quote(name)}{what} (did you mean {other}, a step of its own?)"
        return Fault(path, message, on_key=True), ""
    if not hint:
        hint = f" ({there_are(known)})" if known else f" ({verbs[0]} has no others)"
    better = hint.split('"')[1] if "did you mean" in hint else ""
    return Fault(path, f"unknown key {quote(name)}{what}{hint}", on_key=True), better


def _needed_by(path: Path, data: Any) -> str:
    around = find(data, path)
    if _in_steps(path) and isinstance(around, Mapping):
        verbs = verbs_in(around)
        if verbs:
            return f" ({verbs[0]} needs it)"
    return ""


def _no_step(value: Any) -> str:
    if isinstance(value, str):
        word = next(iter(value.split(":")[0].split()), "")
        if word in VERBS:
            example = f"{word}: ..."
            return f"{quote(word)} is no bare word: write {quote(example)}"
        return f"unknown verb {quote(word or value)}{suggest(word, VERBS)}"
    if not isinstance(value, Mapping):
        return f"a step belongs here, not {kind_of(value)}"
    found = verbs_in(value)
    if found:
        listed = " and ".join([", ".join(found[:-1]), found[-1]])
        return f"a step has one verb, and this one has {listed}: write one step for each"
    others = [key for key in map(str, value) if not any(key in keys for keys in KEYS.values())]
    if not value:
        return "this step is empty: it needs a verb"
    if not others:
        listed = ", ".join(map(str, value))
        return f"this step has no verb, only {listed}: is its dash in the wrong place?"
    best = next((key for key in others if suggest(key, VERBS)), others[0])
    return f"unknown verb {quote(best)}{suggest(best, VERBS)}"


def _mapping_wanted(path: Path) -> str:
    match path:
        case ("objects", _):
            return f"an object's type ({', '.join(OBJECTS)}) or a mapping"
        case ("workers", _):
            return "a mapping with steps"
        case ("python",):
            return "a mapping with setup, check and instrument"
        case ("expect", _):
            return "a verdict or a mapping"
        case ():
            return "a mapping with format, name and workers"
        case (*_, "let"):
            return "a mapping of locals to their values"
    return "a mapping"


def _in_steps(path: Path) -> bool:
    return len(path) >= 4 and path[0] == "workers"


def _is_block(path: Path) -> bool:
    return len(path) >= 3 and path[0] == "workers" and path[-1] in BLOCKS


def _remove(data: dict[str, Any], fault: Fault, damage: Damage) -> bool:
    path = fault.path
    if not path:
        return True  # a missing key; its default is set afterwards
    section, rest = path[0], path[1:]
    if section == "workers":
        return _remove_from_worker(data, fault, damage)
    if section in ("shared", "objects"):
        if not rest:
            data[str(section)] = {}
            damage.everything = True
        else:
            data[str(section)].pop(rest[0], None)
            damage.names.add(str(rest[0]))
    elif section in ("always", "finally") and rest:
        data[str(section)][int(rest[0])] = True
    elif section == "expect" and rest:
        data["expect"].pop(rest[0], None)
    elif section == "python" and rest:
        data["python"].pop(rest[0], None)
    else:
        data.pop(str(section), None)
    return True


def _remove_from_worker(data: dict[str, Any], fault: Fault, damage: Damage) -> bool:
    path = fault.path
    if len(path) == 1:
        return False
    lost = damage.workers.setdefault(str(path[1]), set())
    if len(path) == 2:
        steps = find(data, (*path, "steps"))
        data["workers"][path[1]] = {"steps": steps if isinstance(steps, list) else []}
        return True
    if path[2:] == ("steps",):
        data["workers"][path[1]]["steps"] = []
        return True
    ends = [place for place in range(4, len(path) + 1) if _is_block(path[: place - 1])]
    ends = [place for place in ends if isinstance(path[place - 1], int)]
    if not ends:
        worker = find(data, path[:2])
        if isinstance(worker, dict):
            worker.pop(str(path[2]), None)
        return True
    step_path, inside = path[: ends[-1]], path[ends[-1] :]
    block, place = find(data, step_path[:-1]), step_path[-1]
    if not isinstance(block, list) or not isinstance(place, int):
        return True  # lost already, with the step around it
    step = block[place]
    if isinstance(step, dict) and inside and (fault.on_key or _optional(step, str(inside[0]))):
        lost.update(_words(step.pop(inside[0], None)))
    else:
        lost.update(_words(step))
        block[place] = "checkpoint"
    return True


def _words(data: Any) -> set[str]:
    """Every key and every text in ``data``."""
    words: set[str] = set()
    todo = [data]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            words.add(part)
        elif isinstance(part, Mapping):
            words.update(map(str, part))
            todo += part.values()
        elif isinstance(part, list | tuple):
            todo += part
    return words


def _optional(step: Mapping[str, Any], name: str) -> bool:
    verbs = verbs_in(step)
    if len(verbs) != 1 or verbs[0] in BARE_WORDS:
        return False
    model = VERBS[verbs[0]].model
    return any(
        part.key == name and not model.model_fields[part.name].is_required() for part in model.parts
    )
