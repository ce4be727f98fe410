"""What is patched of asyncio: its objects tell what happens to them.

None of these is a choice, which is the loop's: each does what the original does, and puts an event
into the record when a worker calls it.

What the loop itself (``asyncio_loop``) makes of its services: the steps of tasks and timers are
*controlled*; callbacks (``call_soon``, done callbacks, readers and writers) are controlled against
tasks, and come first in first out among themselves; what threads send (``call_soon_threadsafe``)
and the bodies of an executor's threads are controlled. Calls of the exception handler are *seen*.
Sockets between workers are in memory, and *controlled* (``network``). Others, pipes, subprocesses
and signals are *not controlled*: what has come in when the loop looks is handled, and where nothing
else is left to wait for the schedule is unfinished.

Sets of tasks and futures, and of anyio's cancel scopes, are ordered by hash, which by default is an
address: tasks and futures of the loop are numbered, the others are numbered when they
are hashed first. A bare ``asyncio.Future()`` or ``asyncio.Task()`` is not.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tracelock.instrument.loops.recording import Recorder
from tracelock.instrument.patching import CONTROLLED, SEEN, listed
from tracelock.ops import CLEAR, GET, PUT

_rows: Final = Recorder("asyncio", __name__)
_rows.common(asyncio)
for _owner, _kind in (
    (asyncio.Event, "event"), (asyncio.Queue, "queue"), (asyncio.Barrier, "barrier"),
):  # fmt: skip
    _rows.names(_owner, _kind)
_rows.before(asyncio.Event, "clear", CLEAR)
_rows.before(asyncio.Queue, "put_nowait", PUT)
_rows.before(asyncio.Queue, "get_nowait", GET)
_GATHERING: Final[Any] = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]
_rows.numbers(_GATHERING)
# what the controlled loop does itself
_LOOP: Final = "asyncio.AbstractEventLoop"
listed(
    __name__, CONTROLLED, "asyncio.create_task", "asyncio.sleep", "asyncio.timeout",
    f"{_LOOP}.call_soon", f"{_LOOP}.call_later", f"{_LOOP}.call_soon_threadsafe",
    f"{_LOOP}.run_in_executor", f"{_LOOP}.add_reader", f"{_LOOP}.sock_recv",
    "asyncio.open_connection",
)  # fmt: skip
listed(
    __name__, SEEN, "asyncio.Task.cancel", f"{_LOOP}.time", f"{_LOOP}.call_exception_handler"
)  # fmt: skip
