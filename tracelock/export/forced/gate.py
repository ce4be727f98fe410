"""The line gate: threads pass the source lines of a schedule in the order that it says.

Each worker is followed (by ``sys.monitoring``, on 3.11 by ``sys.settrace``) in the files that the
schedule names. Before a line at which another worker comes first it waits. A line is known by its
file, its function and its text, so that it is found again where lines above it have been added. A
schedule that cannot be followed gives way after a bounded time; ``lost`` then says where.
"""

import dis
import functools
import linecache
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

WAIT = threading.Condition.wait.__code__
COMPREHENSION = re.compile(r"(\.<locals>)?\.<(listcomp|setcomp|dictcomp)>")
LOADS = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_SUPER_ATTR")
STORES = ("STORE_", "DELETE_")
CALLS = (
    "CALL", "BEFORE_WITH", "LOAD_SPECIAL", "BINARY_", "STORE_SUBSCR", "DELETE_SUBSCR",
    "CONTAINS_OP", "GET_ITER", "FOR_ITER", "WITH_EXCEPT_START",
)  # fmt: skip
#: Steps that begin as their line does.
AT_LINES = ("", "call", "exit", "stuck")


class Step:
    """One step of the schedule: ``worker`` at ``place`` (file, function, text of the line).

    ``how``: "" before the line; "turn" a step of a task, "later" one after the callbacks of the
    loop; "wake" behind a wait; "load NAME", "store NAME" or "call" before the instruction of the
    line that does it, of which ``skip`` come earlier; "exit" before a line that may be left without
    an event of its own, as the end of a ``with``; "stuck" before a line that does not end.
    """

    def __init__(
        self, number: int, worker: str, place: tuple[str, str, str], how: str, skip: int
    ) -> None:
        self.number = number
        self.worker = worker
        self.place = place
        self.how = how
        self.skip = skip
        self.done = False

    @property
    def inner(self) -> bool:
        """Whether it is in the middle of a line."""
        return self.how.startswith(("load ", "store ", "call"))


class LineGate:
    """Lets workers pass the steps of a schedule in its order.

    ``schedule``: (worker, file, function, text, how, skip) of each step. ``started``: worker -> the
    workers that it starts, in their order. ``ending``: workers that end before the schedule does.
    ``patience``: seconds without any step of anybody after which the schedule gives way.
    """

    def __init__(
        self, schedule: list[tuple[str, str, str, str, str, int]],
        started: dict[str, list[str]], ending: set[str], patience: float,
    ) -> None:  # fmt: skip
        self.steps: list[Step] = []
        self.own: dict[str, list[Step]] = {}
        for worker, file, function, text, how, skip in schedule:
            step = Step(len(self.steps), worker, (file, function, text), how, skip)
            self.own.setdefault(worker, []).append(step)
            if how != "stuck":  # which is never over
                self.steps.append(step)
        self.started = {name: list(names) for name, names in started.items()}
        self.ending = ending
        self.patience = patience
        self.next: dict[str, int] = {}  # worker -> which of its own steps comes next
        self.current: dict[str, tuple[Step, FrameType | None]] = {}
        self.hits: dict[str, int] = {}
        self.first = 0  # the first step that is not over
        self.lost = ""
        self.moves = 0  # of anybody: what shows that somebody still does something
        self.frames: dict[str, FrameType] = {}
        self.workers: dict[int, str] = {}  # by thread
        self.condition = threading.Condition(threading.Lock())
        # by identity: CPython compares code by what is in it, and that is instrumented
        self.codes: dict[int, tuple[CodeType, dict[int, tuple[str, str, str] | str] | None]] = {}
        self.instructions: dict[CodeType, dict[int, dis.Instruction]] = {}
        self.texts: dict[tuple[str, str], set[str]] = {}  # what functions that were seen say now
        self.places = {step.place for steps in self.own.values() for step in steps}
        self.files = tuple({place[0] for place in self.places if place[0]})
        self.inner: set[tuple[str, str, str] | str] = {one.place for one in self.steps if one.inner}
        self.monitoring = False
        self.reading = threading.Lock()
        self.plain_start = threading.Thread.start

    # --- what the code says ----------------------------------------------------------------------
    def lines_of(self, code: CodeType) -> dict[int, tuple[str, str, str] | str] | None:
        """The places of a function by their line, None where the schedule has none in it."""
        known = self.codes.get(id(code))
        if known is None:
            with self.reading:
                known = self.codes.get(id(code))
                if known is None:
                    known = self.codes[id(code)] = code, self.read_lines(code)
        return known[1]

    def read_lines(self, code: CodeType) -> dict[int, tuple[str, str, str] | str] | None:
        found: dict[int, tuple[str, str, str] | str] = {}
        if code is WAIT:
            found.update(waiting_lines(code))
        path = file_of(code)
        file = path.replace("\\", "/")
        for label in self.files:
            if file == label or file.endswith(f"/{label}"):
                function = COMPREHENSION.sub("", code.co_qualname)
                wanted = [
                    one for one in self.places if one[0] == label and one[1] in (function, "")
                ]
                said = self.texts.setdefault((label, function), set())
                for _, _, line in code.co_lines():
                    text = linecache.getline(path, line or 0).strip()
                    said.add(text)
                    for place in wanted:
                        if line is not None and place[2] == text:
                            found[line] = place
        return found or None

    def gone(self, step: Step) -> bool:
        """Whether the line of a step is not in its function any more."""
        said = self.texts.get(step.place[:2])
        return said is not None and step.place[2] not in said

    # --- threads ---------------------------------------------------------------------------------
    def begin(self, worker: str) -> None:
        """The running thread is this worker: follow it."""
        self.workers[threading.get_ident()] = worker
        self.follow()

    def end(self, worker: str) -> None:
        """This worker has come to its end: none of its steps is waited for any more."""
        if sys.version_info < (3, 12):
            sys.settrace(None)
        self.workers.pop(threading.get_ident(), None)
        with self.condition:
            self.over(worker)

    def over(self, worker: str) -> None:
        self.moves += 1
        steps = self.own.get(worker, [])
        for step in steps[self.next.get(worker, 0) :]:
            if step.how not in ("exit", "stuck") and not step.inner:
                self.lose(f"{worker} came to its end before {shown(step)}")
        for step in steps:
            step.done = True
        self.advance()

    def child(self, parent: str) -> str | None:
        """The name of the worker that ``parent`` starts now, None for one that is not followed."""
        names = self.started.get(parent)
        return names.pop(0) if names else None

    def patch_threads(self) -> None:
        """Let threads that workers start be workers, too."""
        start = self.plain_start

        @functools.wraps(start)
        def started(thread: threading.Thread) -> None:
            worker = self.child(self.workers.get(threading.get_ident(), self.here()))
            if worker is not None:
                run = thread.run

                def followed() -> None:
                    self.begin(worker)
                    try:
                        run()
                    finally:
                        self.end(worker)

                thread.run = followed  # type: ignore[method-assign]
            start(thread)

        threading.Thread.start = started  # type: ignore[method-assign, assignment]

    def here(self) -> str:
        """The worker that runs where no thread is one: a task, see ``TaskGate``."""
        return ""

    # --- tracing ---------------------------------------------------------------------------------
    def follow(self) -> None:
        """Begin to follow the lines of the running thread."""
        if sys.version_info < (3, 12):
            sys.settrace(self.trace)
        else:
            # several threads that trace instructions end CPython 3.12 by a segmentation fault
            with self.condition:  # nobody goes on before it works
                if not self.monitoring:
                    self.monitor()
                    self.monitoring = True

    def monitor(self) -> None:
        """Follow the lines of all threads, by ``sys.monitoring``."""
        tools: Any = vars(sys)["monitoring"]  # of 3.12 and later
        events = tools.events
        tool = next(one for one in (4, 3, 5, 2, 1, 0) if tools.get_tool(one) is None)
        tools.use_tool_id(tool, "forced schedule")
        wanted = events.LINE | events.PY_RETURN | events.PY_UNWIND
        if self.inner:
            wanted |= events.INSTRUCTION

        def lines(code: CodeType, line: int) -> Any:
            if self.lines_of(code) is None:
                return tools.DISABLE
            self.event("line", sys._getframe(1), line)
            return None

        def instructions(code: CodeType, offset: int) -> Any:
            if self.lines_of(code) is None or not self.in_lines(code):
                return tools.DISABLE
            self.event("opcode", sys._getframe(1), offset)
            return None

        def returns(code: CodeType, offset: int, value: Any) -> Any:
            if self.lines_of(code) is not None:
                self.event("return", sys._getframe(1), offset)
            return None

        tools.register_callback(tool, events.LINE, lines)
        tools.register_callback(tool, events.INSTRUCTION, instructions)
        tools.register_callback(tool, events.PY_RETURN, returns)
        tools.register_callback(tool, events.PY_UNWIND, returns)
        # for all code at once: what is set for one function while a thread is in it may be missed
        tools.set_events(tool, wanted)

    def trace(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        if self.lines_of(frame.f_code) is None:
            return None
        if self.in_lines(frame.f_code):
            frame.f_trace_opcodes = True
        return self.within

    def within(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        self.event(event, frame, frame.f_lasti if event == "opcode" else frame.f_lineno)
        return self.within

    def in_lines(self, code: CodeType) -> bool:
        """Whether some step is in the middle of a line of this function."""
        places = (self.lines_of(code) or {}).values()
        return any(place in self.inner for place in places)

    def event(self, event: str, frame: FrameType, where: int) -> None:
        """A line begins, an instruction is made (``where``: its offset), or a frame is left."""
        worker = self.workers.get(threading.get_ident())
        if worker is None:
            return
        self.moves += 1
        self.frames[worker] = frame
        if event == "line":
            self.line(worker, frame, where)
        elif event == "opcode":
            self.instruction(worker, frame, where)
        elif event == "return":
            with self.condition:
                self.leaves(worker, frame)

    def line(self, worker: str, frame: FrameType, line: int) -> None:
        place = (self.lines_of(frame.f_code) or {}).get(line)
        with self.condition:
            if isinstance(place, str):
                if place == "parked":
                    if worker in self.current:
                        self.finish(self.current.pop(worker)[0])
                else:
                    self.arrive(worker, lambda step: step.how == "wake", None)
                return
            self.leaves(worker, frame)
            if place is not None:
                self.arrive(
                    worker, lambda step: step.place == place and step.how in AT_LINES, frame
                )

    def instruction(self, worker: str, frame: FrameType, offset: int) -> None:
        step = self.inner_step(worker)
        if step is None:
            return
        code = frame.f_code
        if code not in self.instructions:
            self.instructions[code] = {one.offset: one for one in dis.get_instructions(code)}
        made = self.instructions[code].get(offset)
        if made is None or not does(made, step.how):
            return
        line = made.positions.lineno if made.positions is not None else None
        if (self.lines_of(code) or {}).get(line or 0) != step.place:
            return
        count = self.hits.get(worker, 0)
        self.hits[worker] = count + 1
        if count >= step.skip:
            with self.condition:
                self.arrive(worker, lambda one: one is step, frame)
                self.hits[worker] = 1

    def inner_step(self, worker: str) -> Step | None:
        steps = self.own.get(worker, ())
        at = self.next.get(worker, 0)
        return steps[at] if at < len(steps) and steps[at].inner else None

    # --- the order -------------------------------------------------------------------------------
    def arrive(self, worker: str, fits: Callable[[Step], bool], frame: FrameType | None) -> None:
        """A worker has come to a place: wait until its step there may be made."""
        steps = self.own.get(worker, [])
        at = self.next.get(worker, 0)
        while at < len(steps) and not fits(steps[at]):
            if not (steps[at].inner or steps[at].how == "exit" or self.gone(steps[at])):
                return  # one more visit of a line, in which nothing happens that the schedule has
            at += 1
        if at == len(steps):
            return
        if worker in self.current:
            self.finish(self.current.pop(worker)[0])
        for step in steps[self.next.get(worker, 0) : at]:
            self.miss(step)
        self.next[worker] = at + 1
        self.hits[worker] = 0
        self.await_turn(steps[at].number, worker)
        self.current[worker] = steps[at], frame

    def leaves(self, worker: str, frame: FrameType) -> None:
        """A worker goes on in this frame: the step that began in it is over."""
        current = self.current.get(worker)
        if current is not None and current[1] is frame:
            del self.current[worker]
            self.finish(current[0])
        if (
            worker not in self.current and worker not in self.ending
            and self.next.get(worker, 0) >= len(self.own.get(worker, ()))
        ):  # fmt: skip
            # in the schedule it never went on: it waits for the end of it
            self.await_turn(len(self.steps), worker)

    def miss(self, step: Step) -> None:
        """A step that its worker went past."""
        if self.gone(step) or self.first < step.number:
            self.lose(f"{step.worker} never came to {shown(step)}")
        self.finish(step)

    def finish(self, step: Step) -> None:
        step.done = True
        self.advance()

    def advance(self) -> None:
        while self.first < len(self.steps) and self.steps[self.first].done:
            self.first += 1
        self.condition.notify_all()

    def lose(self, why: str) -> None:
        if not self.lost:
            self.lost = why
            self.condition.notify_all()

    def await_turn(self, number: int, worker: str) -> None:
        """Wait until all steps before this one are over, or the schedule gives way."""
        seen, quiet, begun = self.moves, 0, time.monotonic()
        while self.first < number and not self.lost:
            self.condition.wait(0.02)
            if self.moves != seen:
                seen, quiet, begun = self.moves, 0, time.monotonic()
                continue
            quiet += 1
            if quiet > 20 and time.monotonic() - begun > self.patience:
                self.lose(self.awaited())

    def awaited(self) -> str:
        """Whom the others wait for in vain."""
        step = self.steps[self.first]
        frame = self.frames.get(step.worker)
        where = ""
        if frame is not None:
            place = linecache.getline(file_of(frame.f_code), frame.f_lineno).strip()
            where = f"; it is at line {frame.f_lineno}: {place}"
        return f"{step.worker} did not come to {shown(step)}{where}"

    @property
    def followed(self) -> bool:
        """Whether the whole schedule was followed, to the end of it."""
        return not self.lost and self.first >= len(self.steps)


def file_of(code: CodeType) -> str:
    """The source file of a function, of a frozen module of the standard library too."""
    name = code.co_filename
    if name.startswith("<frozen ") and os.__file__:
        below = name[8:-1].replace(".", os.sep)
        return os.path.join(os.path.dirname(os.__file__), f"{below}.py")
    return name


def shown(step: Step) -> str:
    file, function, text = step.place
    return f"{file}: {text}" if text else f"its step {step.number} {function}".rstrip()


def waiting_lines(code: CodeType) -> dict[int, str]:
    """The lines of ``Condition.wait`` at which a thread is among the waiters, or has woken."""
    released = restored = 0
    lines: set[int] = set()
    line = 0
    for one in dis.get_instructions(code):
        line = one.positions.lineno if one.positions and one.positions.lineno else line
        lines.add(line)
        if one.argval == "_release_save":
            released = line
        elif one.argval == "_acquire_restore":
            restored = restored or line
    found = {line: "parked" for line in lines if released < line < restored}
    return {**found, restored: "wake"}


def does(made: dis.Instruction, how: str) -> bool:
    """Whether an instruction is of the kind that a step waits before."""
    kind, _, name = how.partition(" ")
    if kind == "load":
        return made.opname.startswith(LOADS) and made.argval == name
    if kind == "store":
        return made.opname.startswith(STORES) and made.argval == name
    return made.opname.startswith(CALLS)
