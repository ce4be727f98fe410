"""What the thread of a worker does between two steps, told by the interpreter."""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

from tracelock.instrument.accesses import hooks
from tracelock.instrument.account.known import is_standard
from tracelock.instrument.account.profiling import CALL, OWN_FOLDER, Profile
from tracelock.instrument.contexts import contexts, identity
from tracelock.instrument.gil.originals import place_of

#: Those of ``_thread``, before they are under control.
_new_lock: Final = allocate_lock
_start_thread: Final = start_new_thread
#: How many frames outwards it is looked who has called the standard library.
_OUTWARDS: Final = 8
#: How long the thread that keeps all ready may take to end, in seconds.
_GRACE: Final = 5.0
#: What rewritten code calls where the original calls nothing.
HOOKS: Final = frozenset(
    identity(one.__code__) for one in vars(hooks).values() if isinstance(one, FunctionType)
)
#: By the identity of a code object: itself, and whose it is.
codes: dict[int, tuple[CodeType, int]] = {}
OURS, STANDARD, OTHER = range(3)


def whose(frame: FrameType) -> int:
    """Whose code a frame runs: tracelock's, the standard library's, or other code."""
    code = frame.f_code
    found = codes.get(identity(code))
    if found is None:
        module = frame.f_globals.get("__name__")
        name = module if type(module) is str else ""
        if code.co_filename.startswith(OWN_FOLDER) or name.partition(".")[0] == "tracelock":
            kind = OURS
        else:
            kind = STANDARD if is_standard(name) else OTHER
        found = codes[identity(code)] = code, kind
    return found[1]


def is_ours(frame: FrameType) -> bool:
    """Whether a frame is of tracelock's own, or of the standard library and called by that."""
    for _ in range(_OUTWARDS):
        kind = whose(frame)
        if kind != STANDARD or frame.f_back is None:
            return kind == OURS
        frame = frame.f_back
    return False


class FrameWatch:
    """Tells workers of what they have done: ``frames``, whether a frame of the program's has begun
    or gone on, and ``calls``, where it has called something (the frame's identity, its code, the
    instruction), since they have set them back."""

    def __init__(self) -> None:
        #: Whether all there was could be told.
        self.unseen: dict[str, str] = {}
        self._profile: Profile | None = None
        self._held: Any = None  # what the thread waits for that keeps this ready
        self._ended: Any = None  # what it gives back as it ends

    @property
    def profile(self) -> Profile:
        """What tells it, made where it is first wanted."""
        if self._profile is None:
            self._profile = Profile(self.told, self.unseen)
        return self._profile

    @property
    def whole(self) -> bool:
        return Profile.usable and not self.unseen

    def hold(self) -> None:
        """Let threads be watched, and rest from it, at little cost: from 3.12 on all code is made
        anew where the first thread begins to be told and where the last one ends. So one that does
        nothing else is told until ``close``. Does nothing twice."""
        if self._held is None and sys.version_info >= (3, 12) and self.profile.usable:
            self._held, self._ended = _new_lock(), _new_lock()
            self._held.acquire()
            self._ended.acquire()
            _start_thread(self._wait, (self._held, self._ended))

    def _wait(self, until: Any, ended: Any) -> None:
        self.profile.on()
        until.acquire()
        self.profile.off()
        ended.release()

    def close(self) -> None:
        """End what ``hold`` has begun: a thread that ended later would have locks of its own when
        the next exploration looks who has any."""
        codes.clear()
        if self._held is not None:
            self._held.release()
            self._ended.acquire(timeout=_GRACE)
            self._held = self._ended = None

    def run(self, run: Callable[[], object]) -> None:
        """Run ``run``, watched, on this thread."""
        self.profile.on()
        try:
            run()
        finally:
            self.profile.off()

    def told(self, frame: FrameType, what: int, function: Any) -> None:
        """A frame has begun or gone on, or a function in C is called."""
        worker: Any = contexts.get(get_ident())
        calls = getattr(worker, "calls", None)
        if calls is None or worker.uncontrolled:
            return
        caller: FrameType | None = frame
        if what == CALL:
            if not is_ours(frame):
                worker.frames = True
                return
            caller = frame.f_back
            if identity(frame.f_code) in HOOKS:
                return
        if caller is None or is_ours(caller):
            return
        if place_of(caller.f_code, caller.f_lasti).calls:
            calls.append((identity(caller), caller.f_lasti))
