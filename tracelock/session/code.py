"""Python code to be explored, as a caller gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracelock.errors import UsageError
from tracelock.instrument.crashes import rules as crash_rules
from tracelock.instrument.network.rules import NetworkRules, rules_of
from tracelock.instrument.outside.kinds import mode_of
from tracelock.instrument.program import PythonProgram, module_of
from tracelock.session.first_party import Project, named, root_for


@dataclass(slots=True)
class PythonCode:
    """What there is to run (``workers``, with what ``setup`` makes, then ``check``), and what may
    happen to it: ``expected_errors``, ``cancellations``, ``cancellable``, ``gc``, ``faults`` and
    ``network``, ``crash_consistency`` with ``recover``; ``always``: what has to hold between steps;
    ``outside``: what comes of calls to what is outside of the run. See ``tracelock.explore``.

    None for ``instrument``, ``cancellations`` and ``gc``: what the document says that names the
    code, else the modules in which the workers were written with those of the user's own that they
    lead to (see ``first_party``), and none.
    """

    workers: Sequence[Callable[..., Any]] = ()
    setup: Callable[[], Any] | None = None
    check: Callable[..., Any] | None = None
    instrument: Sequence[str] | str | None = None
    expected_errors: Sequence[type[BaseException]] = ()
    cancellations: int | None = None
    gc: bool | int | None = None
    cancellable: Sequence[Any] | None = None
    always: Callable[..., Any] | Sequence[Callable[..., Any]] = ()
    faults: int | None = None
    network: Mapping[str, Any] | NetworkRules | None = None
    crash_consistency: bool | Mapping[str, Any] | crash_rules.CrashRules | None = None
    recover: Callable[..., Any] | None = None
    outside: str | None = None

    def program(
        self, name: str = "", *, source: dict[str, Any] | None = None,
        document: dict[str, Any] | None = None, names: Sequence[str] = (),
        root: str | None = None, leads: Sequence[str] = (),
    ) -> PythonProgram:  # fmt: skip
        """The program that this is; see ``PythonProgram`` for the arguments. ``root``: the folder
        below which modules are the user's own (None: the project of the first worker); ``leads``:
        modules that lead there beside those of the workers.

        Raises UsageError where it makes no sense.
        """
        wanted = named(self.instrument)
        cancellations = self.cancellations or 0
        if self.cancellable is not None and self.cancellations is None:
            cancellations = 1
        if cancellations < 0:
            raise UsageError("cancellations is how many a schedule may have: 0 or more")
        invariants = invariants_of(self.always)
        modules, project = list(wanted.names), None
        if not wanted.only:
            found = (module_of(work) for work in (*self.workers, *invariants))
            own = list(dict.fromkeys(module for module in found if module is not None))
            project = Project(root or (root_for(own[0]) if own else None))
            given = (self.setup, self.check, self.recover)
            others = (module_of(one) for one in given if one is not None)
            own = project.first_party(own, [*others, *leads])
            modules = list(dict.fromkeys([*own, *modules]))
        first = self.workers[0] if self.workers else None
        return PythonProgram(
            list(self.workers), self.setup, self.check, modules, tuple(self.expected_errors),
            int(self.gc or 0), cancellations, self.cancellable,
            name or module_of(first) or "python", dict(source or {}), document, names,
            owns=None if project is None else project.owns, every=wanted.every,
            found=list(wanted.found), invariants=invariants, network=self.rules(),
            crashes=self.crash_rules(), recover=self.recover,
            outside=mode_of(self.outside),
        )  # fmt: skip

    def crash_rules(self) -> crash_rules.CrashRules:
        """Whether all may end by a crash. Raises UsageError where that makes no sense."""
        rules = crash_rules.rules_of(self.crash_consistency)
        if self.recover is not None and not rules.on:
            raise UsageError(
                "recover is called after a crash, and none may come without crash_consistency=True"
            )
        if self.recover is not None and not rules.machine:
            raise UsageError(
                "recover is called after a crash of the machine, which there is none of with "
                "crash_consistency={'machine': False}: tracelock.restart, or restarts= of a host, "
                "says what is called after that of a host, and check at the end"
            )
        last = self.recover or self.check
        if rules.on and last is not None and inspect.iscoroutinefunction(last):
            raise UsageError(
                "after a crash the loop is gone with the program: with crash_consistency give "
                "recover=, a plain function that reads the files"
            )
        if self.recover is not None and not callable(self.recover):
            raise UsageError(f"recover: {self.recover!r:.80} cannot be called")
        return rules

    def rules(self) -> NetworkRules:
        """What the network may do. Raises UsageError where that makes no sense."""
        if isinstance(self.network, NetworkRules):
            return self.network
        return rules_of(self.faults, self.network)

    def rules_beside(self, written: NetworkRules) -> NetworkRules:
        """The same where a document has ``written`` some: what is given here counts instead."""
        if self.network is not None and not isinstance(self.network, Mapping):
            return self.network
        table = {"splits": written.splits, "kinds": written.kinds, **(self.network or {})}
        return rules_of(written.faults if self.faults is None else self.faults, table)


def invariants_of(given: Any) -> list[Callable[..., Any]]:
    """What was given as ``always``: one function, or some. Raises UsageError for what cannot be
    called between steps."""
    found = [given] if callable(given) else list(given or ())
    for one in found:
        if not callable(one) or inspect.iscoroutinefunction(one):
            raise UsageError(
                "always: an invariant is a plain function, which is called between steps with what "
                f"setup returned, not {one!r:.80}"
            )
    return found
