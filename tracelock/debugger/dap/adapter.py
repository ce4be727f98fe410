"""What each request of the protocol does: a table of methods, on one replay and one client."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from tracelock.debugger.dap.framing import ClientGone, Connection
from tracelock.debugger.dap.values import ShownValues, text_of
from tracelock.debugger.evaluating import EvaluationTooLong, bounded
from tracelock.debugger.frames import Stack
from tracelock.debugger.places import LinePlace
from tracelock.debugger.reversible import Reversible
from tracelock.debugger.stops import BREAKPOINT, END, FAILURE, LINE, Standstill
from tracelock.debugger.telling import heading, moved
from tracelock.errors import TracelockError, UsageError
from tracelock.report.wording import clean

CAPABILITIES: Final = {
    "supportsConfigurationDoneRequest": True,
    "supportsStepBack": True,
    "supportsConditionalBreakpoints": True,
    "supportsEvaluateForHovers": True,
    "supportsExceptionInfoRequest": True,
    "supportsTerminateRequest": True,
    "supportsRestartRequest": True,
    "supportsSingleThreadExecutionRequests": False,
}
#: Breakpoints of one file, and frames of one worker, that an editor may ask for.
MOST_BREAKPOINTS: Final = 1_000
MOST_FRAMES: Final = 1_000
MOST_EXPRESSION: Final = 10_000

Arguments = dict[str, Any]
#: What the reason of a stop is called.
_REASONS: Final = {LINE: "breakpoint", BREAKPOINT: "breakpoint", FAILURE: "exception"}


class Over(Exception):
    """The session is over."""


class Adapter:
    """Serves one client until it has enough. ``place``: where the replay stops first."""

    def __init__(
        self, replay: Reversible, connection: Connection, place: int | LinePlace | str
    ) -> None:
        self.replay = replay
        self.connection = connection
        self.place = place
        self.values = ShownValues()
        self._lines: dict[str, dict[int, str]] = {}  # by path: lines with their conditions
        self._frames: list[Any] = []
        self._move: Callable[[], Standstill] | None = None
        self._begun = False

    def serve(self) -> None:
        """Answer requests until the client goes, or says that it is over."""
        try:
            while True:
                self._answer(self.connection.read())
        except (Over, ClientGone):
            pass

    def _answer(self, message: dict[str, Any]) -> None:
        if message.get("type") != "request":
            return
        command, arguments = message.get("command"), message.get("arguments")
        answer = {"request_seq": message.get("seq", 0), "command": str(command)}
        method = REQUESTS.get(command) if isinstance(command, str) else None
        try:
            if method is None:
                raise UsageError(f"{command!s:.60} is not supported")
            body = method(self, arguments if isinstance(arguments, dict) else {})
        except Over:
            self.connection.send("response", **answer, success=True, body={})
            self.connection.send("event", event="terminated")
            raise
        except ClientGone:
            raise
        except (Exception, EvaluationTooLong) as error:  # whatever an expression leads to
            text = str(error) or type(error).__name__
            self.connection.send("response", **answer, success=False, message=clean(text))
            return
        self.connection.send("response", **answer, success=True, body=body or {})
        if command == "initialize":
            self.connection.send("event", event="initialized")
        move, self._move = self._move, None
        if move is not None:
            self._moved(move)

    # --- moving ----------------------------------------------------------------------------------
    def _moved(self, move: Callable[[], Standstill]) -> None:
        """Make a move, and tell where the replay stands then."""
        self.values.clear()
        self._frames.clear()
        self.replay.set_lines({path: list(lines) for path, lines in self._lines.items()})
        try:
            stop = moved(self.replay, move, self._wanted, self._say, self._say)
        except TracelockError as error:
            self._say(str(error))
            raise Over from error
        if stop.kind == END:
            self.connection.send("event", event="terminated")
            return
        told = " ".join(heading(self.replay, stop))
        self.connection.send("event", event="stopped", body={
            "reason": _REASONS.get(stop.kind, "step"), "description": told, "text": told,
            "threadId": self._thread(stop), "allThreadsStopped": True,
        })  # fmt: skip

    def _thread(self, stop: Standstill) -> int:
        return 1 if stop.worker is None else int(stop.worker.number) + 1

    def _say(self, text: str) -> None:
        self.connection.send(
            "event", event="output", body={"category": "console", "output": clean(text) + "\n"}
        )

    def _wanted(self, stop: Standstill) -> bool:
        """Whether the condition of a breakpoint holds here; one that fails does."""
        frame = stop.frame
        assert frame is not None
        lines = self._lines.get(os.path.realpath(frame.f_code.co_filename), {})
        condition = lines.get(frame.f_lineno, "")
        if not condition:
            return True
        try:
            with bounded():
                return bool(eval(condition, frame.f_globals, frame.f_locals))
        except (Exception, EvaluationTooLong) as error:
            self._say(f"the condition of a breakpoint: {type(error).__name__}: {error}")
            return True

    def _then(self, move: Callable[[], Standstill]) -> Arguments:
        """Move when the request has been answered."""
        if not self._begun:
            raise UsageError("the replay has not begun: send configurationDone first")
        self._move = move
        return {"allThreadsContinued": True}

    # --- requests --------------------------------------------------------------------------------
    def initialize(self, arguments: Arguments) -> Arguments:
        return CAPABILITIES

    def launch(self, arguments: Arguments) -> None:
        """The program is known: what it is started with is in the trace."""

    def configuration_done(self, arguments: Arguments) -> None:
        if not self._begun:
            self._begun = True
            self._move = lambda: self.replay.start(self.place)

    def restart(self, arguments: Arguments) -> Arguments:
        return self._then(lambda: self.replay.goto(0))

    def set_breakpoints(self, arguments: Arguments) -> Arguments:
        source = arguments.get("source")
        path = source.get("path") if isinstance(source, dict) else None
        wanted = arguments.get("breakpoints") or []
        if not isinstance(path, str) or not isinstance(wanted, list):
            raise UsageError("setBreakpoints takes a source with a path, and a list")
        if len(wanted) > MOST_BREAKPOINTS:
            raise UsageError(f"there may be {MOST_BREAKPOINTS} breakpoints in a file")
        path = os.path.realpath(path)
        lines: dict[int, str] = {}
        told = []
        for one in wanted:
            line = one.get("line") if isinstance(one, dict) else None
            if not isinstance(line, int):
                raise UsageError("a breakpoint takes a line")
            lines[line] = str(one.get("condition") or "")[:MOST_EXPRESSION]
            told.append({"verified": os.path.isfile(path), "line": line})
        self._lines.pop(path, None)
        if lines:
            self._lines[path] = lines
        return {"breakpoints": told}

    def set_other_breakpoints(self, arguments: Arguments) -> Arguments:
        """A failure always stops the replay; of other kinds there are none."""
        return {"breakpoints": []}

    def threads(self, arguments: Arguments) -> Arguments:
        found = [
            {"id": one.number + 1, "name": f"{clean(one.name)} ({clean(one.state)})"}
            for one in self.replay.workers()
        ]
        return {"threads": found or [{"id": 1, "name": "(not begun)"}]}

    def stack_trace(self, arguments: Arguments) -> Arguments:
        number = _whole(arguments, "threadId") - 1
        start, levels = _whole(arguments, "startFrame"), _whole(arguments, "levels")
        stack = self._stack(number)[::-1]
        shown = []
        for frame, line in stack[start : start + (levels or MOST_FRAMES)][:MOST_FRAMES]:
            self._frames.append(frame)
            path = os.path.abspath(frame.f_code.co_filename)
            shown.append({
                "id": len(self._frames), "name": frame.f_code.co_qualname, "line": line,
                "column": 1, "source": {"name": os.path.basename(path), "path": path},
            })  # fmt: skip
        return {"stackFrames": shown, "totalFrames": len(stack)}

    def _stack(self, number: int) -> Stack:
        stop = self.replay.stop
        if stop.worker is not None and stop.worker.number == number:
            return self.replay.stack()
        found = [one for one in self.replay.workers() if one.number == number]
        if not found:
            raise UsageError("there is no such thread")
        return found[0].stack

    def _frame(self, arguments: Arguments) -> Any:
        number = _whole(arguments, "frameId")
        if not 1 <= number <= len(self._frames):
            raise UsageError("there is no such frame any more")
        return self._frames[number - 1]

    def scopes(self, arguments: Arguments) -> Arguments:
        frame = self._frame(arguments)
        scopes = [("Locals", dict(frame.f_locals), False), ("Globals", frame.f_globals, True)]
        return {
            "scopes": [
                {"name": name, "variablesReference": self.values.keep(names), "expensive": costs}
                for name, names, costs in scopes
            ]
        }

    def variables(self, arguments: Arguments) -> Arguments:
        number = _whole(arguments, "variablesReference")
        start, count = _whole(arguments, "start"), _whole(arguments, "count")
        return {"variables": self.values.parts(number, start, count)}

    def evaluate(self, arguments: Arguments) -> Arguments:
        expression = arguments.get("expression")
        if not isinstance(expression, str) or len(expression) > MOST_EXPRESSION:
            raise UsageError(f"an expression is a text of {MOST_EXPRESSION} characters at most")
        frame = self._frame(arguments) if "frameId" in arguments else self._innermost()
        try:
            with bounded():
                value = eval(expression.strip(), frame.f_globals, frame.f_locals)
        except Exception as error:
            raise UsageError(f"{type(error).__name__}: {error}") from None
        with bounded():
            shown = self.values.shown(value)
        return {"result": shown.pop("value"), **shown}

    def _innermost(self) -> Any:
        stack = self.replay.stack()
        if not stack:
            raise UsageError("there is no frame to evaluate it in")
        return stack[-1][0]

    def exception_info(self, arguments: Arguments) -> Arguments:
        error = self.replay.stop.error
        if error is None:
            raise UsageError("no exception has stopped the replay")
        return {
            "exceptionId": type(error).__name__, "description": text_of(error),
            "breakMode": "always",
        }  # fmt: skip

    def go_on(self, arguments: Arguments) -> Arguments:
        return self._then(self.replay.proceed)

    def next(self, arguments: Arguments) -> Arguments:
        number = _whole(arguments, "threadId") - 1
        return self._then(lambda: self.replay.step(number))

    def step(self, arguments: Arguments) -> Arguments:
        return self._then(self.replay.step)

    def step_back(self, arguments: Arguments) -> Arguments:
        return self._then(self.replay.back)

    def reverse(self, arguments: Arguments) -> Arguments:
        return self._then(self.replay.back_to_breakpoint)

    def pause(self, arguments: Arguments) -> None:
        """It stands whenever it is asked."""

    def end(self, arguments: Arguments) -> None:
        raise Over


def _whole(arguments: Arguments, name: str) -> int:
    """A number of a request, 0 where it is not given. Raises UsageError."""
    number = arguments.get(name, 0)
    if not isinstance(number, int) or not 0 <= number < 2**31:
        raise UsageError(f"{name} has to be a number")
    return number


#: Each request that is answered, and by what.
REQUESTS: Final[dict[str, Callable[[Adapter, Arguments], Arguments | None]]] = {
    "initialize": Adapter.initialize,
    "launch": Adapter.launch,
    "attach": Adapter.launch,
    "configurationDone": Adapter.configuration_done,
    "setBreakpoints": Adapter.set_breakpoints,
    "setFunctionBreakpoints": Adapter.set_other_breakpoints,
    "setExceptionBreakpoints": Adapter.set_other_breakpoints,
    "threads": Adapter.threads,
    "stackTrace": Adapter.stack_trace,
    "scopes": Adapter.scopes,
    "variables": Adapter.variables,
    "evaluate": Adapter.evaluate,
    "exceptionInfo": Adapter.exception_info,
    "continue": Adapter.go_on,
    "next": Adapter.next,
    "stepIn": Adapter.step,
    "stepOut": Adapter.next,
    "stepBack": Adapter.step_back,
    "reverseContinue": Adapter.reverse,
    "pause": Adapter.pause,
    "restart": Adapter.restart,
    "terminate": Adapter.end,
    "disconnect": Adapter.end,
}
