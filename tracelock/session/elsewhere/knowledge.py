"""What schedules have taught of a program, as it travels between processes that run its schedules.

Which schedule a seed or a list of choices stands for depends on it: on who the workers are, on what
is shared, on which modules are looked into. So a part of a search is run with what was known when
it was given out, and says what it has learnt; the account and what else was noticed are added up.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends.calls import may_import
from tracelock.instrument.account.account import Account
from tracelock.ops import ObjectSpec

if TYPE_CHECKING:
    from tracelock.session.python_host import PythonHost

#: Of an ``Aim``: what the schedules so far have found out.
_OF_AIM: Final = ("blocks", "pending", "scopes", "anyio", "pools", "learned")
#: Of a backend: in how many schedules what was noticed.
_COUNTED: Final = ("heard", "ended_by_timeout")
_LISTED: Final = ("lasting", "leaks", "imported", "waited_for", "blind", "lost")
_FLAGS: Final = ("cut_daemons", "own_loops", "own_name")


@dataclass(slots=True)
class Noticed:
    """What is to be told of schedules besides how they ended, of those since it was last taken."""

    account: Account
    ran: int = 0
    starved: int = 0
    counts: dict[str, dict[Any, int]] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    lasting: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    passed_over: dict[str, bool] = field(default_factory=dict)
    imported: list[str] = field(default_factory=list)
    waited_for: list[str] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    drew: bool = False
    why: str = ""
    stuck: str = ""

    def add(self, other: Noticed) -> None:
        """Take another one into this, of schedules that came later."""
        self.account.add(other.account)
        self.ran += other.ran
        self.starved += other.starved
        for name, counts in other.counts.items():
            self.counts[name] = dict(Counter(self.counts.get(name, {})) + Counter(counts))
        for name, flag in other.flags.items():
            self.flags[name] = self.flags.get(name) or flag
        for name in _LISTED:
            mine = getattr(self, name)
            mine += [one for one in getattr(other, name) if one not in mine]
        self.passed_over.update(other.passed_over)
        self.drew = self.drew or other.drew
        self.why = self.why or other.why
        self.stuck = self.stuck or other.stuck

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        data["account"] = {
            each.name: sorted(value) if isinstance(value, set) else value
            for each in fields(self.account)
            for value in [getattr(self.account, each.name)]
        }
        data["counts"] = {
            name: [[key, count] for key, count in counts.items()]
            for name, counts in self.counts.items()
        }
        return data

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Noticed:
        """What ``to_data`` gave, from JSON."""
        account = Account()
        for name, value in data["account"].items():
            kind = type(getattr(account, name))
            setattr(account, name, kind(value))
        counts = {
            name: {tuple(key) if isinstance(key, list) else key: int(count) for key, count in each}
            for name, each in data["counts"].items()
        }
        return cls(**{**data, "account": account, "counts": counts})


def known_to(host: PythonHost) -> bytes:
    """What a host knows of its program, as JSON: the same where it is the same."""
    layout, names = host.program.layout, host.names
    listed = names.variables.values()
    aim = vars(host.backend.hub.aim)
    causes = names.mortals._causes.items()
    return json.dumps({
        "workers": list(layout.known()), "groups": [spec.group for spec in layout.workers],
        "objects": [list(vars_of(spec)) for spec in layout.objects],
        "shared": sorted((one.name, one.number) for one in listed if one.shared),
        "pending": [(one.name, one.number) for one in names._pending], "mortal": names.mortal,
        "aim": {name: sorted(aim[name]) if name == "pools" else aim[name] for name in _OF_AIM},
        "modules": list(host.sources.modules), "found": list(host.program.found),
        "causes": sorted(
            (name, [(pair.name, cause.name, stores) for pair, cause, stores in each])
            for name, each in causes
        ),
        "numbered": sorted(
            (*key, list(value)) for key, value in host.backend.hub.numbered.items()
        ),
    }).encode()  # fmt: skip


def vars_of(spec: ObjectSpec) -> tuple[Any, ...]:
    """The fields of a specification, in order."""
    return tuple(getattr(spec, each.name) for each in fields(spec))


def make_known(host: PythonHost, known: bytes) -> None:
    """Let a host know this, and nothing else, of what schedules teach."""
    told = json.loads(known)
    layout, names, hub = host.program.layout, host.names, host.backend.hub
    for table in (layout.names, layout.objects):
        table.clear()
    layout._numbers.clear()
    layout._places.clear()
    given = len(host.program.names) + 1  # with the one that setup runs as
    for place, spec in enumerate(layout.workers[:given]):
        layout._places[spec.name] = place
    del layout.workers[given:]
    layout.make_room(len(told["groups"]))
    for name, group in list(zip(told["workers"], told["groups"], strict=False))[given:]:
        layout.worker(name, group)
    for one in told["objects"]:
        layout.add(ObjectSpec(*one))
    for variable in names.variables.values():
        variable.number, variable.shared = -1, False
        variable.reads.clear()
    for name, number in (*told["shared"], *told["pending"]):
        names.named(name).number = number
    for name, _ in told["shared"]:
        names.named(name).shared = True
    names._pending[:] = [names.named(name) for name, _ in told["pending"]]
    names.waiting = len(names._pending)
    names.mortal = told["mortal"]
    causes = names.mortals._causes
    causes.clear()
    for name, listed in told["causes"]:
        causes[name] = [(names.named(a), names.named(b), stores) for a, b, stores in listed]
    vars(hub.aim).update({**told["aim"], "pools": set(told["aim"]["pools"])})
    hub.numbered = {(parent, pattern): list(value) for parent, pattern, value in told["numbered"]}
    host.program.found[:] = told["found"]
    new = [name for name in told["modules"] if not host.sources.covers(name)]
    for name in may_import(new):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    host.sources.look_into(new)
    host.sources.modules[:] = told["modules"]
    host.sources._looked.clear()


def noticed_by(host: PythonHost) -> Noticed:
    """What a host has noticed since this was asked for last."""
    backend, hub = host.backend, host.backend.hub
    if hub.invariants.any:  # registered by the code; what they read does not travel
        told = "what an invariant reads is not told to the other parts of a shared search"
        host.account.unseen.setdefault("tracelock.always", told)
    counts = {name: dict(getattr(backend, name)) for name in _COUNTED}
    taken = Noticed(
        host.account, backend.ran, backend.starved, counts,
        {name: getattr(backend, name) for name in _FLAGS}, list(backend.kept.lasting),
        list(host.isolation.leaks), dict(hub.onlooker.passed_over), sorted(hub.imported),
        sorted(hub.imports_waited_for), sorted(host.sources.blind),
        list(backend.kept.callers.lost), backend.afresh.drew, host.isolation.why, backend.stuck,
    )  # fmt: skip
    copied = deepcopy(taken)
    backend.ran = backend.starved = 0
    backend.account.account.recorded = 0
    for name in _COUNTED:
        getattr(backend, name).clear()
    return copied


def add_noticed(host: PythonHost, noticed: Noticed) -> None:
    """Let a host tell of what another one has noticed as if it were its own."""
    backend, hub = host.backend, host.backend.hub
    backend.account.account.add(noticed.account)
    backend.ran += noticed.ran
    backend.starved += noticed.starved
    for name, counts in noticed.counts.items():
        mine = getattr(backend, name)
        mine.update(Counter(mine) + Counter(counts))
    for name in _FLAGS:
        setattr(backend, name, getattr(backend, name) or noticed.flags[name])
    backend.kept.lasting.update(dict.fromkeys(noticed.lasting))
    leaks = host.isolation.leaks
    leaks += [name for name in noticed.leaks if name not in leaks]
    hub.onlooker.passed_over.update(noticed.passed_over)
    hub.imported.update(noticed.imported)
    hub.imports_waited_for.update(noticed.waited_for)
    host.sources.blind.update(noticed.blind)
    backend.kept.callers.lost.update(dict.fromkeys(noticed.lost))
    backend.afresh.drew = backend.afresh.drew or noticed.drew
    host.isolation.why = host.isolation.why or noticed.why
    backend.stuck = backend.stuck or noticed.stuck
