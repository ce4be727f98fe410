"""The prompt: ``pdb`` on the frames of a replay that stands still.

What looks (``p``, ``w``, ``up``, ``l``, ``display``, ...) is pdb's own. What moves goes along the
trace. It runs in the thread that asks, the main one: Ctrl-C reaches it, and what is evaluated there
is no step of any worker.
"""

from __future__ import annotations

import bdb
import ctypes
import os
import pdb
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import IO, Any, Final

from tracelock.debugger.evaluating import EvaluationTooLong, bounded
from tracelock.debugger.frames import Stack
from tracelock.debugger.places import LinePlace
from tracelock.debugger.reversible import Reversible
from tracelock.debugger.stops import END, FAILURE, Standstill
from tracelock.debugger.telling import heading, listing, moved, next_switch, place_of_worker
from tracelock.report.wording import clean

PROMPT: Final = "(tracelock) "
HINT: Final = "step next continue | back rcontinue goto SEQ | workers worker NAME why | help q"
#: Commands that are not bounded: what they start takes as long as the user likes.
_UNBOUNDED: Final = frozenset({"interact"})
_COPIES: Final = sys.version_info < (3, 13)  # ``f_locals`` of a function is a copy
#: What pdb does to go on that no trace says anything of.
_REFUSED: Final = {
    "jump": "a replay does what the trace says: it cannot be sent to another line",
    "until": "go on with step, next or continue; tbreak LINE stops at a line once",
    "return": "go on with step, next or continue; tbreak LINE stops at a line once",
    "run": "goto 0 begins the replay again",
    "debug": "what is called at the prompt runs outside of the replay",
    "commands": "commands at a breakpoint are not run in a replay",
}

Action = Callable[[], Standstill]


class Prompt(pdb.Pdb):
    """Asks where to go until the user has enough. ``stdin``, ``stdout``: as in ``pdb.Pdb``."""

    def __init__(
        self, replay: Reversible, stdin: IO[str] | None = None, stdout: IO[str] | None = None
    ) -> None:
        super().__init__(stdin=stdin, stdout=stdout, nosigint=True, readrc=False)
        self.prompt = PROMPT
        self.replay = replay
        self._shown: Stack = []
        self._who: Any = None  # the worker whose stack is shown
        self._action: Action | None = None

    # --- the loop ------------------------------------------------------------------------------
    def explore(self, place: int | LinePlace | str) -> None:
        """Replay to ``place`` and ask, until the user quits. Raises what the replay raises, and
        KeyboardInterrupt for a Ctrl-C at the prompt."""
        self._forget_breaks()
        self.message(HINT)
        try:
            action: Action | None = lambda: self.replay.start(place)  # noqa: E731
            while action is not None:
                action = self._move(action)
        finally:
            self.forget()
            self._shown = []
            self._forget_breaks()

    def _move(self, action: Action) -> Action | None:
        """Make this move, and ask for the next one; None to quit."""
        before = self.replay.stop.order
        self.forget()
        self._shown = []
        self._tell_lines()
        stop = moved(self.replay, action, self._wanted, self.message, self.error)
        if stop.kind == END:
            return None
        again = stop.order == before and self.replay.stop is stop
        self._present(stop, again)
        return self._ask()

    def _wanted(self, stop: Standstill) -> bool:
        """Whether to stop at this line: a breakpoint may have a condition, or be passed over."""
        frame = stop.frame
        assert frame is not None
        file = self.canonic(frame.f_code.co_filename)
        if (file, frame.f_lineno) not in bdb.Breakpoint.bplist:
            return True  # it is the place that was asked for
        try:
            with bounded():
                found, once = bdb.effective(file, frame.f_lineno, frame)
        except EvaluationTooLong as error:
            self.error(f"the condition of a breakpoint: {error}")
            return True
        if found and once:
            self.clear_bpbynumber(found.number)
        return bool(found)

    def _present(self, stop: Standstill, again: bool) -> None:
        if not again:
            for line in heading(self.replay, stop):
                self.message(line)
        self._show(self.replay.stack(), stop.worker)

    def _ask(self) -> Action | None:
        self._action = None
        self.cmdloop()
        return self._action

    # --- the frames ----------------------------------------------------------------------------
    def _show(self, stack: Stack, who: Any) -> None:
        """These frames are looked at from now on, the innermost first."""
        self._shown = stack
        self._who = who
        if not stack:
            self.message("(no code of yours is in the middle of anything here)")
            return
        self.setup(stack[-1][0], None)
        known: Any = self
        known.tb_lineno.update(stack)
        self.print_stack_entry(self.stack[self.curindex])

    def get_stack(self, f: FrameType | None, t: Any) -> tuple[Stack, int]:
        return list(self._shown), len(self._shown) - 1

    def onecmd(self, line: str) -> bool:
        command = self.parseline(line)[0]
        if not self._shown and command in ("p", "pp", "w", "l", "ll", "a", "u", "d", "up", "down"):
            self.error("there is no frame to look at: worker NAME chooses another")
            return False
        if command in _UNBOUNDED:
            return bool(super().onecmd(line))
        try:
            with bounded():
                return bool(super().onecmd(line))
        except EvaluationTooLong as error:
            self.error(str(error))
            return False

    def default(self, line: str) -> Any:
        result = super().default(line)
        if _COPIES and self.curframe is not None:  # what was assigned goes to the frame
            with suppress(AttributeError):
                ctypes.pythonapi.PyFrame_LocalsToFast(
                    ctypes.py_object(self.curframe), ctypes.c_int(0)
                )
        return result

    def _forget_breaks(self) -> None:
        bdb.Breakpoint.clearBreakpoints()
        self.breaks.clear()

    def _tell_lines(self) -> None:
        self.replay.set_lines(
            {os.path.realpath(file): list(lines) for file, lines in self.breaks.items()}
        )

    # --- commands that move ----------------------------------------------------------------------
    def _go(self, action: Action) -> bool:
        self._action = action
        return True

    def do_step(self, arg: str) -> bool | None:
        """s(tep) [worker]
        Go on to the next event of the trace, whoever makes it; with a name to the next of this
        worker."""
        if not arg:
            return self._go(self.replay.step)
        found = self._named(arg)
        return found if found is None else self._go(lambda: self.replay.step(found.number))

    do_s = do_step

    def do_next(self, arg: str) -> bool | None:
        """n(ext)
        Go on to the next event of the worker whose frames are shown; the others make their steps
        in between, as the trace says."""
        number = getattr(self._who, "number", None)
        return self._go(lambda: self.replay.step(number))

    do_n = do_next

    def do_continue(self, arg: str) -> bool | None:
        """c(ont(inue))
        Go on to the next breakpoint, to the failure, or to the end."""
        return self._go(self.replay.proceed)

    do_c = do_cont = do_continue

    def do_back(self, arg: str) -> bool | None:
        """back
        Stand before the event that came before this point: the replay is run afresh up to there."""
        return self._go(self.replay.back)

    def do_rcontinue(self, arg: str) -> bool | None:
        """rc(ontinue)
        Go back to the last breakpoint before this point, or to the first event without one."""
        return self._go(self.replay.back_to_breakpoint)

    do_rc = do_rcontinue

    def do_goto(self, arg: str) -> bool | None:
        """goto SEQ
        Stand before the event with this number, earlier or later."""
        text = arg.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            self.error(f"goto takes the number of an event, 0 to {self.replay.last}")
            return None
        return self._go(lambda: self.replay.goto(int(text)))

    def do_quit(self, arg: str) -> bool | None:
        """q(uit) | exit
        Leave the debugger."""
        return True

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool | None:
        """EOF
        Leave the debugger."""
        self.message("")
        return True

    # --- commands that look ----------------------------------------------------------------------
    def do_workers(self, arg: str) -> None:
        """workers
        List all threads and tasks with their lines and what they are about to do. '>' makes the
        next step, '*' is the one whose frames are shown."""
        shown = getattr(self._who, "number", None)
        for line in listing(self.replay.workers(), shown):
            self.message(line)

    def do_worker(self, arg: str) -> None:
        """worker NAME
        Look at the frames of another worker; the end of a name does, where it is the only one."""
        found = self._named(arg)
        if found is None:
            return
        if not found.stack:
            self.error(f"{clean(found.name)}: {clean(found.state)}, it has no frame to look at")
            return
        self.message(place_of_worker(found))
        stop = self.replay.stop
        own = stop.worker is not None and stop.worker.number == found.number
        stack = self.replay.stack() if own and stop.kind == FAILURE else found.stack
        self._show(stack, self.replay.watch.hub.workers[found.number])

    def _named(self, text: str) -> Any:
        """The worker of this name, None where that is not clear, which is told."""
        text = text.strip()
        workers = self.replay.workers()
        found = [one for one in workers if text in (one.name, clean(one.name))]
        found = found or [one for one in workers if text and clean(one.name).endswith(text)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(clean(one.name) for one in found or workers)
        self.error(f"{'several workers are called so' if found else 'there are'}: {names}")
        return None

    def complete_worker(self, text: str, line: str, begidx: int, endidx: int) -> list[str]:
        return [one.name for one in self.replay.workers() if one.name.startswith(text)]

    def do_why(self, arg: str) -> None:
        """why
        Say why, and before which event, another worker goes on next."""
        for line in next_switch(self.replay):
            self.message(line)

    def _refuse(self, name: str) -> None:
        self.error(f"{name}: {_REFUSED[name]}")


def _refusing(name: str) -> Any:
    def refuse(self: Prompt, arg: str) -> None:
        self._refuse(name)

    refuse.__doc__ = f"{name}\n        Not in a replay: {_REFUSED[name]}."
    return refuse


def _refuse_all() -> None:
    for name in _REFUSED:
        real = getattr(pdb.Pdb, f"do_{name}", None)
        refuse = _refusing(name)
        for alias in [key for key, value in vars(pdb.Pdb).items() if value is real and real]:
            setattr(Prompt, alias, refuse)


_refuse_all()

__all__ = ["PROMPT", "Prompt"]
