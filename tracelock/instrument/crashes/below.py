"""What the crash of one host leaves of its own disk, which is a directory, while others go on."""

from __future__ import annotations

import dataclasses
import os

from tracelock.errors import UsageError
from tracelock.instrument.crashes import tree
from tracelock.instrument.crashes.disk import Disk, disk_of
from tracelock.instrument.crashes.model import DiskModel, Found, Thing
from tracelock.instrument.crashes.points import choose_state
from tracelock.instrument.crashes.states import CrashState, states_of
from tracelock.instrument.worker import Uncontrolled, Worker


def lose_below(worker: Worker, at: str, directory: str) -> None:
    """What is not synced below this directory may be lost now, and nothing else: which state that
    leaves is a choice, the real files there become so, and are durable.

    A part of the step in which a host crashes: nobody else comes in. Does nothing where no crash
    may lose anything, or nothing there is pending. Raises UsageError where a file is not what the
    calls that were seen have made of it.
    """
    disk = disk_of(worker.hub)
    if disk is None:
        return
    try:
        with Uncontrolled(worker):
            disk.compare()
            path = os.path.realpath(directory)
            nodes = nodes_below(disk.model, path)
            view = only(disk.model, nodes)
            states, complete = states_of(view, disk.rules.states)
        if not view.pending:
            return
        state, _ = choose_state(worker, at, states, complete)
        with Uncontrolled(worker):
            _become(disk, path, nodes, view, state)
    except UsageError as error:
        worker.hub.error = worker.hub.error or error  # also where the program catches it
        raise


def nodes_below(model: DiskModel, path: str) -> set[int]:
    """The files and directories that are, were, or may come to be at or below a path."""
    found = {
        node for root, node in model.roots.items()
        if root == path or root.startswith(path.rstrip("/") + "/")
    }  # fmt: skip
    entries: dict[int, set[int]] = {}
    for values in (model.durable, model.volatile, *(change.values for change in model.pending)):
        for (what, directory, _), node in values.items():
            if what == "entry" and node is not None:
                entries.setdefault(directory, set()).add(node)
    found |= _at(model, path)
    left = list(found)
    while left:
        more = entries.get(left.pop(), set()) - found
        found |= more
        left += more
    return found


def _at(model: DiskModel, path: str) -> set[int]:
    """The directory at a path, where another one that is known has it."""
    up, name = os.path.split(path)
    above = {model.roots[up]} if up in model.roots else _at(model, up) if up != path else set()
    return {
        node for one in above
        if (node := model.volatile.get(("entry", one, name))) is not None
    }  # fmt: skip


def only(model: DiskModel, nodes: set[int]) -> DiskModel:
    """The disk as if of its changes only those of these nodes could be lost. What has also touched
    something else (a file that was moved there) is durable from now on, in both."""
    mixed = {
        thing for change in model.pending
        if len({thing[1] in nodes for thing in change.values}) > 1
        for thing in change.values
    }  # fmt: skip
    if mixed:
        model.settle(mixed)
    return dataclasses.replace(
        model, durable=dict(model.durable),
        pending=[one for one in model.pending if all(thing[1] in nodes for thing in one.values)],
    )  # fmt: skip


def _become(
    disk: Disk, path: str, nodes: set[int], view: DiskModel, state: CrashState
) -> None:  # fmt: skip
    """The files below ``path`` become what the crash has left of them."""
    model = disk.model

    def below() -> dict[str, Found]:
        start = path.rstrip("/") + "/"
        return {one: found for one, found in disk.now().items() if one.startswith(start)}

    before = below()
    things: set[Thing] = {
        thing for values in (model.durable, model.volatile) for thing in values
        if thing[1] in nodes
    }  # fmt: skip
    for thing in things:
        for values in (model.durable, model.volatile):
            if thing in state.values:
                values[thing] = state.values[thing]
            else:
                values.pop(thing, None)
    model.pending = [one for one in model.pending if one not in view.pending]
    wanted = below()
    now = {
        one: real for one in {*before, *wanted} if (real := tree.found_at(one)) is not None
    }  # fmt: skip
    tree.change_to(now, wanted)
