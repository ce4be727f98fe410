"""The account of an exploration: what it knows of a program, and what it does not.

``verified`` is claimed only where the account is *clean*. It is when all that two workers share was
seen, by this rule (``recorder`` finds out, with the tables in ``known``):

- Code that was looked into makes a scheduling point of each access; so do objects of modules that
  are under control themselves (``threading``, ``queue``, ``asyncio``, files, ...).
- Any other Python code that workers execute may do what it likes with the objects that it gets: its
  arguments, the variables of its closure and, outside of the standard library, the globals that it
  names. It is not clean if one of those can change and is used by two workers.
- An object whose state is held in C and that no model stands for (``StringIO``, ``itertools``,
  generators, hashes, ``functools.lru_cache`` of the program's own functions, types of extension
  modules) must not be used by two workers.
- A function of an extension module that is not known to be harmless is not clean, whoever calls it,
  and neither is input or output that is not under control (sockets, databases, other processes).
- What the schedule does not decide is not clean: unseeded ``random``, the real time of day,
  ``os.urandom``, and errors that nobody received.

Assumed is that the standard library keeps its own module state in order, that a constructor is
alone with its object, and that code which no recorded schedule executes is like that which one
does: the first schedules are recorded, and some of the later ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

#: Names that a line of text tells before it says how many more there are.
_TOLD = 8
#: What is found out by recording the calls of a schedule, by the names of fields.
_FOUND: Final = ("looked", "unlooked", "unseen", "outside", "chance", "hashed", "between")


def _counted(count: int, noun: str) -> str:
    several = "processes" if noun == "process" else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


@dataclass(slots=True)
class Account:
    """``workers``: the most threads, tasks or processes (``noun``) of a schedule, ``tasks``: those
    of them that are tasks of loops which the program starts itself, ``concurrent`` the most that
    were alive at a time. ``locks``: synchronisation objects that were used.
    ``variables``: shared variables -> by how many workers. ``looked``, ``unlooked``: modules that
    workers ran code of, looked into or not. ``unseen``: what is shared, or may be, without being
    seen -> why. ``outside``: input and output that is not under control. ``chance``: what differs
    from run to run. ``hashed``: of what the program goes through sets whose order is the same with
    the same PYTHONHASHSEED. ``recorded``: schedules whose calls were recorded. ``between``: what
    the tasks of one loop share without its being seen, which is no matter as long as every order of
    their steps is tried."""

    noun: str = "thread"
    workers: int = 0
    tasks: int = 0
    concurrent: int = 0
    locks: set[str] = field(default_factory=set)
    variables: dict[str, int] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    unlooked: set[str] = field(default_factory=set)
    unseen: dict[str, str] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    chance: set[str] = field(default_factory=set)
    hashed: set[str] = field(default_factory=set)
    recorded: int = 0
    between: dict[str, str] = field(default_factory=dict)

    def add(self, other: Account) -> None:
        """Take another one into this: of the same program, with another input."""
        self.workers = max(self.workers, other.workers)
        self.tasks = max(self.tasks, other.tasks)
        self.concurrent = max(self.concurrent, other.concurrent)
        for name, users in other.variables.items():
            self.variables[name] = max(users, self.variables.get(name, 0))
        self.locks |= other.locks
        self.hear({name: getattr(other, name) for name in _FOUND})
        self.recorded += other.recorded

    def forget(self) -> None:
        """Let what schedules told be unknown: they are to be recorded anew."""
        for name in _FOUND:
            getattr(self, name).clear()
        self.recorded = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is known to have escaped."""
        return not self.not_seen

    @property
    def apart(self) -> bool:
        """Whether all is known that steps of tasks have to do with one another."""
        return self.recorded > 0 and self.clean and not self.between

    @property
    def not_seen(self) -> list[str]:
        """What keeps ``verified`` from being claimed, by name."""
        return sorted({*self.unseen, *self.outside, *self.chance})

    @property
    def not_looked_into(self) -> list[str]:
        """Modules that were not looked into though workers ran code of them, and the like."""
        return sorted({*self.unlooked, *self.not_seen})

    @property
    def counts(self) -> str:
        """``3 threads, 2 locks, 7 shared variables``."""
        others, tasks = self.workers - self.tasks, self.tasks
        people = [_counted(others, self.noun)] if others or not tasks else []
        people += [_counted(tasks, "task")] if tasks else []
        return ", ".join((
            " and ".join(people), _counted(len(self.locks), "lock"),
            _counted(len(self.variables), "shared variable"),
        ))  # fmt: skip

    @property
    def line(self) -> str:
        """The same, and what was not looked into."""
        left = self.not_looked_into
        return self.counts + (f"; not looked into: {listed(left)}" if left else "")

    def told(self) -> dict[str, Any]:
        """What was found out, as plain data: for the account of the process that forked this."""
        return {name: getattr(self, name).copy() for name in _FOUND}

    def hear(self, told: dict[str, Any]) -> None:
        """Another process has found this out."""
        for name, found in told.items():
            getattr(self, name).update(found)

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "workers": self.workers, "concurrent": self.concurrent,
            "kind": "task" if self.workers and self.workers == self.tasks else self.noun,
            "locks": sorted(self.locks), "variables": dict(sorted(self.variables.items())),
            "modules": sorted(self.looked), "not_looked_into": sorted(self.unlooked),
            "not_seen": dict(sorted(self.unseen.items())), "outside": sorted(self.outside),
            "nondeterministic": sorted(self.chance), "recorded": self.recorded,
            "clean": self.clean,
        }  # fmt: skip


def listed(names: Iterable[str]) -> str:
    """Names as a list in a sentence; not more of them than can be read."""
    every = list(names)
    more = len(every) - _TOLD
    return ", ".join(every[:_TOLD]) + (f" and {more} more" if more > 0 else "")
