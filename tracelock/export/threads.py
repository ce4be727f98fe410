"""Operations of workers that are threads, or processes."""

from __future__ import annotations

from tracelock.export.body import Body
from tracelock.scenario.language import verbs


def _waiting(blocking: bool, timeout: str | None, nonblocking: str) -> list[str]:
    """The arguments that say how long to wait."""
    if not blocking:
        return [nonblocking]
    return [] if timeout is None else [f"timeout={timeout}"]


class ThreadBody(Body):
    """The operations of a worker that is a thread."""

    backend = "threading"
    nonblocking = "blocking=False"

    def acquire(self, thing: str, blocking: bool, timeout: str | None, into: str | None) -> None:
        how = ", ".join(_waiting(blocking, timeout, self.nonblocking))
        self.assign(into, f"{thing}.acquire({how})")

    def wait_at(self, thing: str, kind: str, timeout: str | None, into: str | None) -> None:
        call = f"{thing}.wait({timeout or ''})"
        if kind == "barrier":
            self.attempt(call, into, "threading.BrokenBarrierError")
        else:
            self.assign(into, call)

    def put_item(
        self, thing: str, value: str, blocking: bool, timeout: str | None, into: str | None
    ) -> None:
        how = ", ".join([value, *_waiting(blocking, timeout, "block=False")])
        self.attempt(f"{thing}.put({how})", into, "queue.Full")

    def get_item(
        self, thing: str, blocking: bool, timeout: str | None, into: str | None, got: str | None
    ) -> None:
        how = ", ".join(_waiting(blocking, timeout, "block=False"))
        call = f"{thing}.get({how})"
        self.attempt(call if into is None else f"{into} = {call}", got, "queue.Empty")

    def join(self, at: str, events: list[str], timeout: str | None, into: str | None) -> None:
        for place, event in enumerate(events):
            call = f"{event}.wait({timeout or ''})"
            self.before_operation(at)
            self.assign(into, call + (f" and {into}" if into is not None and place else ""))
            self.after_operation(at)


class ProcessBody(ThreadBody):
    """The operations of a worker that is a process."""

    backend = "multiprocessing"
    nonblocking = "block=False"
    me = "multiprocessing.current_process().name"

    def spawn(self, name: str, function: str, args: str) -> None:
        self.context.needs.add("requests")
        self.put(f"spawn({name})")

    def on_crash(self, step: verbs.Crash, at: str) -> None:
        self.context.needs.add("crash")
        self.operate(at, lambda: self.put("os.kill(os.getpid(), signal.SIGKILL)"))
