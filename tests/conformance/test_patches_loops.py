"""A use of each row of the table of patches for asyncio, anyio and trio."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

import tracelock
from tests.helpers.patch_uses import Happened, Seen, explore_uses, worker_name
from tracelock.instrument.clock import START
from tracelock.instrument.patches import NOT_CONTROLLED, SEEN, Patch, table

Use = Callable[..., Any]


async def asyncio_fails(now: bool) -> None:
    await asyncio.sleep(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


# --- asyncio ---------------------------------------------------------------------------------
async def a_lock() -> None:
    made = asyncio.Lock()
    async with made:
        await asyncio.sleep(0)


async def a_semaphore() -> None:
    made = asyncio.Semaphore()
    async with made:
        await asyncio.sleep(0)


async def a_notification() -> None:
    made = asyncio.Condition()
    async with made:
        made.notify()


async def a_condition() -> None:
    made = asyncio.Condition()

    async def notify() -> None:
        async with made:
            made.notify()

    async with made:
        task = asyncio.create_task(notify())
        await made.wait()
    await task


async def an_event() -> None:
    made = asyncio.Event()
    made.clear()
    made.set()
    await made.wait()


async def a_queue() -> None:
    made: asyncio.Queue[int] = asyncio.Queue()
    await made.put(1)
    await made.get()


async def a_barrier() -> None:
    made = asyncio.Barrier(2)

    async def other() -> None:
        await made.wait()

    task = asyncio.create_task(other())
    await made.wait()
    await task


async def gathered() -> int:
    future = asyncio.gather(asyncio.sleep(0))
    number = hash(future)
    await future
    return number


async def a_task() -> None:
    await asyncio.create_task(asyncio.sleep(0))


async def slept() -> None:
    await asyncio.sleep(5.0)


async def timed_out() -> None:
    try:
        async with asyncio.timeout(1.0):
            await asyncio.sleep(3600)
    except TimeoutError:
        return


async def in_an_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().set)


async def handled() -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "odd things"})


def called(method: str, *arguments: Any) -> Use:
    async def use() -> None:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        getattr(loop, method)(*arguments, event.set)
        await event.wait()

    return use


async def sent() -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(event.set,))
    thread.start()
    await event.wait()


async def cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()


async def looked() -> float:
    return asyncio.get_running_loop().time()


async def connected() -> None:
    async def answer(reader: Any, writer: Any) -> None:
        writer.write(await reader.read())
        writer.close()

    async with await asyncio.start_server(answer, "localhost", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        writer.write_eof()
        assert await reader.read() == b"x"
        writer.close()


async def received() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        asyncio.get_running_loop().call_soon(other.send, b"x")
        await asyncio.get_running_loop().sock_recv(one, 1)


async def watched() -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    one, other = socket.socketpair()
    with one, other:
        loop.add_reader(one, event.set)
        other.send(b"x")
        await event.wait()
        loop.remove_reader(one)


ASYNCIO: dict[str, Use] = {
    "asyncio.Lock.__init__": a_lock,
    "asyncio.Lock.acquire": a_lock,
    "asyncio.Lock.release": a_lock,
    "asyncio.Semaphore.__init__": a_semaphore,
    "asyncio.Semaphore.acquire": a_semaphore,
    "asyncio.Semaphore.release": a_semaphore,
    "asyncio.Condition.__init__": a_notification,
    "asyncio.Condition.notify": a_notification,
    "asyncio.Condition.wait": a_condition,
    "asyncio.Event.__init__": an_event,
    "asyncio.Event.set": an_event,
    "asyncio.Event.clear": an_event,
    "asyncio.Event.wait": an_event,
    "asyncio.Queue.__init__": a_queue,
    "asyncio.Queue.put_nowait": a_queue,
    "asyncio.Queue.get_nowait": a_queue,
    "asyncio.Barrier.__init__": a_barrier,
    "asyncio._GatheringFuture.__hash__": gathered,
}


#: What the loop does itself: a use, and what its worker does then.
ASYNCIO_LOOP: dict[str, tuple[Use, str]] = {
    "asyncio.create_task": (a_task, "checkpoint spawn checkpoint"),
    "asyncio.sleep": (slept, "checkpoint checkpoint"),
    "asyncio.timeout": (timed_out, "checkpoint checkpoint"),
    "asyncio.AbstractEventLoop.call_soon": (called("call_soon"), "checkpoint wait checkpoint wake"),
    "asyncio.AbstractEventLoop.call_later": (
        called("call_later", 5.0), "checkpoint wait checkpoint wake"
    ),
    "asyncio.AbstractEventLoop.call_soon_threadsafe": (
        sent, "checkpoint spawn wait checkpoint wake"
    ),
    "asyncio.AbstractEventLoop.run_in_executor": (in_an_executor, "checkpoint spawn"),
    "asyncio.AbstractEventLoop.add_reader": (watched, "checkpoint put wait checkpoint wake set"),
    "asyncio.AbstractEventLoop.sock_recv": (received, "checkpoint get checkpoint set"),
    "asyncio.open_connection": (connected, "checkpoint spawn set put put set"),
    "asyncio.Task.cancel": (cancelled, "checkpoint spawn checkpoint cancel"),
    "asyncio.AbstractEventLoop.time": (looked, "checkpoint"),
    "asyncio.AbstractEventLoop.call_exception_handler": (handled, "checkpoint"),
}  # fmt: skip


def judge_recorded(row: Patch, seen: Seen) -> None:
    """Assert that a row of a loop's own objects says what is so: the replacement was called, and
    put an event of the object into the record, before which nothing was chosen."""
    worker = worker_name(row.name)
    calls = seen.of(row.name)
    assert row.how == SEEN and calls, "the use calls the replacement"
    if row.attribute == "__hash__":
        (number,) = set(seen.gave[row.name])
        assert isinstance(number, int) and 0 < number < 1_000, "not an address"
    elif row.attribute == "__init__":
        kind = row.owner.__name__.lower()
        assert any(e.target.startswith(kind) and worker in e.target for e in seen.events[worker])
    else:
        kind = row.owner.__name__.lower()
        about = [e for call in calls for e in call if e.target.lower().startswith(kind)]
        assert about and all(e.options <= 1 and worker in e.target for e in about)


def check(rows: list[Patch], seen: Seen) -> None:
    """Assert of all rows that they say what is so."""
    wrong = {}
    for row in rows:
        try:
            judge_recorded(row, seen)
        except (AssertionError, ValueError) as error:
            wrong[row.name] = f"{error}; {seen.of(row.name)}; {seen.gave[row.name]}"
    assert not wrong
    assert "RuntimeError: the last one" in seen.explored.trace.verdict.message


def check_loop(expected: dict[str, tuple[Use, str]], seen: Seen) -> None:
    """Assert that the workers did what is expected, among others."""
    for name, (_, ops) in expected.items():
        did = [event.op for event in seen.events[worker_name(name)]]
        rest = iter(did)  # in this order; another version of Python may do more in between
        assert all(op in rest for op in ops.split()), f"{name}: {did}"
    assert "RuntimeError: the last one" in seen.explored.trace.verdict.message


def rows_of(library: str) -> tuple[list[Patch], dict[str, str]]:
    """The rows in which something is replaced, and how the others are under control."""
    rows = table(library)
    listed = {row.name: row.how for row in rows if row.by is None}
    return [row for row in rows if row.by is not None], listed


def test_asyncio() -> None:
    rows, listed = rows_of("asyncio")
    assert {row.name for row in rows} == ASYNCIO.keys()
    check(rows, explore_uses(ASYNCIO, fails=asyncio_fails, backend="asyncio"))
    inside = {name for name, how in listed.items() if how != NOT_CONTROLLED}
    assert inside == ASYNCIO_LOOP.keys()


def test_the_loop_of_asyncio() -> None:
    uses = {name: use for name, (use, _) in ASYNCIO_LOOP.items()}
    seen = explore_uses(uses, fails=asyncio_fails, backend="asyncio")
    check_loop(ASYNCIO_LOOP, seen)
    assert set(seen.gave["asyncio.AbstractEventLoop.time"]) == {START["monotonic"]}
    assert any("odd things" in note for note in seen.explored.notes)
    assert Happened("cancel", "asyncio_timeout") in seen.events["loop:callbacks"]
    executor = seen.events["asyncio_AbstractEventLoop_run_in_executor/executor"]
    sender = seen.events["asyncio_AbstractEventLoop_call_soon_threadsafe/call_soon_threadsafe"]
    assert Happened("notify", "loop") in sender and "set" in [event.op for event in executor]


async def scope() -> int:
    with anyio.CancelScope() as made:
        return hash(made)


async def group() -> None:
    async with anyio.create_task_group():
        pass


ANYIO = {"anyio.CancelScope.__hash__": scope, "anyio.TaskGroup.__init__": group}


def test_anyio() -> None:
    rows, listed = rows_of("anyio")
    assert {row.name for row in rows} == ANYIO.keys() and not listed
    (hashed,) = [row for row in rows if row.attribute == "__hash__"]
    seen = explore_uses({hashed.name: scope}, fails=asyncio_fails, backend="asyncio")
    check([hashed], seen)
    name = "anyio.TaskGroup.__init__"  # see also test_cancellations: whose scopes are cancelled
    seen = explore_uses({name: group}, fails=asyncio_fails, backend="asyncio")
    assert seen.of(name)


# --- trio ------------------------------------------------------------------------------------
async def trio_fails(now: bool) -> None:
    await trio.sleep(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


async def t_lock() -> None:
    async with trio.Lock():
        await trio.sleep(0)


async def t_semaphore() -> None:
    async with trio.Semaphore(1):
        await trio.sleep(0)


async def t_notification() -> None:
    made = trio.Condition()
    async with made:
        made.notify()
        made.notify_all()


async def t_condition() -> None:
    made = trio.Condition()

    async def notify() -> None:
        async with made:
            made.notify()

    async with trio.open_nursery() as nursery, made:
        nursery.start_soon(notify)
        await made.wait()


async def t_event() -> None:
    made = trio.Event()
    made.set()
    await made.wait()


async def t_thread() -> None:
    await trio.to_thread.run_sync(threading.Event().set)


async def t_child() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)


async def t_channel() -> None:
    sends, receives = trio.open_memory_channel[int](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sends.send, 1)
        await receives.receive()


async def t_timeout() -> None:
    with trio.move_on_after(1.0):
        await trio.sleep(3600)


async def t_sleep() -> None:
    await trio.sleep(5.0)


async def t_time() -> float:
    return trio.current_time()


async def t_signals() -> None:
    with trio.open_signal_receiver(signal.SIGTERM):
        await trio.sleep(0)


async def t_received() -> None:
    one, other = trio.socket.socketpair()
    with one, other:
        stream = trio.SocketStream(one)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.send, b"x")
            assert await stream.receive_some(1) == b"x"


TRIO: dict[str, Use] = {
    "trio.Lock.__init__": t_lock,
    "trio.Lock.acquire": t_lock,
    "trio.Lock.release": t_lock,
    "trio.Semaphore.__init__": t_semaphore,
    "trio.Semaphore.acquire": t_semaphore,
    "trio.Semaphore.release": t_semaphore,
    "trio.Condition.__init__": t_notification,
    "trio.Condition.notify": t_notification,
    "trio.Condition.notify_all": t_notification,
    "trio.Condition.wait": t_condition,
    "trio.Event.set": t_event,
    "trio.Event.wait": t_event,
}
#: Rows that put no event into the record by themselves, and what uses them.
TRIO_APART: dict[str, Use] = {
    "trio.EntryQueue.run_sync_soon": t_thread,
    "trio.lowlevel.start_thread_soon": t_thread,
    "trio.open_signal_receiver": t_signals,
}
TRIO_LOOP: dict[str, tuple[Use, str]] = {
    "trio.Nursery.start_soon": (t_child, "checkpoint spawn checkpoint"),
    "trio.sleep": (t_sleep, "checkpoint checkpoint"),
    "trio.move_on_after": (t_timeout, "checkpoint checkpoint"),
    "trio.to_thread.run_sync": (t_thread, "checkpoint checkpoint spawn checkpoint"),
    "trio.MemorySendChannel.send": (t_channel, "checkpoint spawn checkpoint"),
    "trio.MemoryReceiveChannel.receive": (t_channel, "checkpoint spawn request checkpoint"),
    "trio.current_time": (t_time, "checkpoint"),
    "trio.SocketStream.receive_some": (t_received, "checkpoint get checkpoint get"),
}


def test_trio() -> None:
    rows, listed = rows_of("trio")
    assert {row.name for row in rows} == TRIO.keys() | TRIO_APART.keys()
    seen = explore_uses(TRIO, fails=trio_fails, backend="trio")
    check([row for row in rows if row.name not in TRIO_APART], seen)
    inside = {name for name, how in listed.items() if how != NOT_CONTROLLED}
    inside.remove("trio.run_process")  # which is used in test_outside
    assert inside == TRIO_LOOP.keys()


def test_no_signal_comes_in() -> None:
    found = tracelock.explore(workers=[t_signals], backend="trio", instrument=[], schedules=2)
    assert found.verdict == "passed"  # trio itself lets only the main thread wait for signals


def test_the_run_of_trio() -> None:
    uses = {name: use for name, (use, _) in TRIO_LOOP.items()}
    seen = explore_uses(uses, fails=trio_fails, backend="trio")
    check_loop(TRIO_LOOP, seen)
    assert set(seen.gave["trio.current_time"]) == {START["monotonic"]}
    (sent_by,) = {worker for worker, _ in seen.calls["trio.EntryQueue.run_sync_soon"]}
    assert sent_by == "trio_to_thread_run_sync/executor"
    for _, events in seen.calls["trio.EntryQueue.run_sync_soon"]:
        assert [event[:2] for event in events] == [("notify", "loop")], "a scheduling point"


# --- loops that the program starts itself ----------------------------------------------------
def run_a_task(how: Callable[[Any], object]) -> Use:
    async def other() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(other(), other())

    return lambda: how(main())


def in_a_new_loop(main: Any) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main)
    loop.close()


def in_a_loop_of_a_class(main: Any) -> None:
    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(main)
    loop.close()


async def t_other() -> None:
    await trio.sleep(0)


async def t_both() -> None:
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            await t_other()

        nursery.start_soon(other)
        nursery.start_soon(other)


class Foreign(asyncio.AbstractEventLoop):
    def run_forever(self) -> None:
        pass


def as_a_guest() -> None:
    trio.lowlevel.start_guest_run(
        t_both, run_sync_soon_threadsafe=lambda fn: None, done_callback=lambda outcome: None
    )


OWN_LOOPS: dict[str, Use] = {
    "asyncio.DefaultEventLoopPolicy.new_event_loop": run_a_task(in_a_new_loop),
    "asyncio.Runner.run": run_a_task(asyncio.run),
    "asyncio.BaseEventLoop.run_forever": run_a_task(in_a_loop_of_a_class),
    "asyncio.run": run_a_task(asyncio.run),
    "asyncio.AbstractEventLoop.run_until_complete": run_a_task(in_a_new_loop),
    "trio.run": lambda: trio.run(t_both),
}
#: Those that are refused, with what is said of each.
REFUSED: dict[str, Use] = {
    "asyncio.AbstractEventLoop.run_forever": lambda: Foreign().run_forever(),
    "trio.lowlevel.start_guest_run": as_a_guest,
}


@pytest.mark.parametrize("name", OWN_LOOPS)
def test_tasks_of_a_loop_that_a_worker_starts_are_controlled(name: str) -> None:
    def fails() -> None:
        raise RuntimeError("so that there is a trace")

    def use() -> None:
        OWN_LOOPS[name]()
        fails()

    found = tracelock.explore(workers=[use], instrument=[__name__], schedules=1, shrink=False)
    assert found.trace is not None
    tasks = [worker for worker in found.trace.workers if worker.endswith("/other")]
    assert tasks


@pytest.mark.parametrize("name", REFUSED)
def test_a_way_to_run_a_loop_that_is_not_controlled_is_refused(name: str) -> None:
    found = tracelock.explore(workers=[REFUSED[name]], instrument=[__name__], schedules=1)
    assert found.verdict == "unfinished"
    assert "is not under control" in found.ways[0].message


def test_there_is_a_use_for_each_row_of_own_loops() -> None:
    rows = {row.name for row in table("own_loops", "own_trio")}
    assert rows == {*OWN_LOOPS, *REFUSED}
