"""Where a crash may come, which state it leaves, and how the schedule ends by it.

A crash may come in each operation that changes the disk, before each that syncs, and when all has
ended. The one *in* an operation stands for those before it and after it as well: that it was made
and all of it is lost is one of the states, that none of it is another. Whether it comes is asked as
for a fault of the network; which state it leaves is one choice, of a number below that of the
states, where 0 has lost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracelock.instrument.crashes.disk import Disk, disk_of
from tracelock.instrument.crashes.model import DiskChange
from tracelock.instrument.crashes.recording import DiskEffect
from tracelock.instrument.crashes.states import CrashState, states_of
from tracelock.instrument.hub import Hub, Phase, ScheduleOver
from tracelock.instrument.steps import VariablesStep
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.objects import VARIABLE
from tracelock.ops import ATOMIC, CHOOSE, WRITE, Alternatives, ObjectSpec, Op
from tracelock.trace.crashes import AT_END, CRASH, DISK, told


def change_disk(
    worker: Worker, at: str, look: Callable[[], DiskEffect | None], call: Callable[[], Any]
) -> Any:
    """Make this call, which has the effect on the disk that ``look`` gives; its result. That is
    looked at again when the step has been granted: others may have come in before."""
    hub = worker.hub
    running = hub.phase is Phase.RUN
    effect = look()
    if effect is not None and running:
        _step(worker, at, effect.text)
        effect = look()
    if effect is None:
        return call()
    if running:
        if effect.operation is not None:
            effect.operation.event = len(hub.controller.log) - 1
        if effect.syncs:
            _crash_point(worker, at)
    result = call()
    disk = disk_of(hub)
    assert disk is not None
    with Uncontrolled(worker):
        effect.commit(result)
    if not running:
        disk.model.sync_all()  # of ``setup`` and ``check`` nothing is lost
    elif not effect.syncs:
        _crash_point(worker, at)
    return result


def _step(worker: Worker, at: str, text: str) -> None:
    """The step of an operation on the disk. What a crash finds depends on all that others have
    done before: it commutes with nothing, as soon as there is anything else."""
    hub = worker.hub
    number = disk_number(hub)
    others = [other for other in range(len(hub.layout.names)) if other != number]
    if others and len(hub.controller.active) > 1:
        worker.step(Op(ATOMIC, -1, at, body=VariablesStep(others, (number,), text)))
    else:
        worker.step(Op(WRITE, number, at, text))


def disk_number(hub: Hub) -> int:
    """The number of the disk, as a variable."""
    number = hub.layout.number_of(DISK)
    if number is None:
        number = hub.layout.add(ObjectSpec(DISK, VARIABLE))
        hub.controller.sync()
    return number


def _crash_point(worker: Worker, at: str) -> None:
    """A crash may come here. Raises ScheduleOver where it does."""
    hub = worker.hub
    if not hub.program.crashes.machine:
        return
    if not hub.controller.inject(worker.number, at, -1, disk_number(hub)):
        return
    try:
        crash(worker, at)
    except BaseException as error:  # which the program is not to catch
        hub.error = hub.error or error
    end_all(hub)
    if worker.own_thread:
        hub.hand_over(-1)
        worker.wait()
    hub.phase = Phase.UNWIND  # a task is in the middle of a step of its loop
    raise ScheduleOver


def crash(worker: Worker, at: str) -> str:
    """The machine of this worker crashes, now: which state that leaves of the disk is chosen. What
    is lost, in words. The real files are made so by ``Disk.materialise``, when nobody who was on
    that machine can touch them any more."""
    hub = worker.hub
    disk = disk_of(hub)
    assert disk is not None
    with Uncontrolled(worker):
        disk.compare()
        states, complete = states_of(disk.model, disk.rules.states)
    disk.crashed, disk.told = choose_state(worker, at, states, complete)
    return disk.told


def choose_state(
    worker: Worker, at: str, states: list[CrashState], complete: bool
) -> tuple[CrashState, str]:
    """Which of these states a crash has left is chosen; with what is lost, in words. ``complete``:
    whether there are no others."""
    hub = worker.hub
    if not complete and hub.account is not None:
        hub.account.account.chance.add(
            f"crashes at {at}, of which there are more states of the disk than {len(states)}: not "
            "all are tried"
        )
    shown = f"{len(states)} state{'s' * (len(states) != 1)} of the disk"
    op = Op(CHOOSE, -1, at, body=Alternatives(CRASH, len(states), shown))
    number = hub.controller.choose_now(worker.number, op)
    state = states[number if number < len(states) else -1]
    op.remark = in_words(state)
    return state, op.remark


def lose(worker: Worker, at: str) -> str:
    """What is not synced may be lost now, while workers go on: which state that leaves is chosen,
    the real files become so, and what is left is all durable. What is lost, in words.

    For a machine of several whose files are all that there are; ``worker`` is none of those that
    it takes along. Files that are open go on as they are where their name is kept.
    """
    told_as = crash(worker, at)
    disk = disk_of(worker.hub)
    assert disk is not None
    with Uncontrolled(worker):
        disk.materialise()
    disk.crashed = None
    return told_as


def end_all(hub: Hub) -> None:
    """All workers have ended, by the crash: what they were at is lost, and no deadlock."""
    controller = hub.controller
    controller.left = list(controller.active)
    for worker in controller.left:
        controller.shut_out[worker] = controller.pending[worker]  # type: ignore[assignment]
    controller.active.clear()
    controller.essential.clear()
    controller.lingering.clear()
    controller.settles = False
    hub.at_exit.clear()  # who has crashed calls nothing
    hub.over = True


def run_or_crash(tasks: Any, go_on: Callable[[], None]) -> bool:
    """Run the tasks of a loop until none can go on; whether they have ended by a crash, after which
    threads are out of the way too. ``go_on``: raises where this thread was given up meanwhile."""
    hub = tasks.hub
    try:
        tasks.run()
    except ScheduleOver:  # a crash in the middle of a step of a task ends no more than this
        if not _crashed(hub):
            raise
        tasks.leave()
    go_on()
    crash_at_end(hub)
    if _crashed(hub):
        hub.unwind()  # threads, whose results the loop is there to take
        return True
    return False


def _crashed(hub: Hub) -> bool:
    disk = hub.known(Disk)
    return disk is not None and disk.crashed is not None


def in_words(state: CrashState) -> str:
    """What a crash has left, as the trace tells it."""
    kept: dict[int, list[DiskChange]] = {}
    for change in state.durable:
        kept.setdefault(id(change.operation), []).append(change)
    lost = [
        _part(change, partly=id(change.operation) in kept) for change in state.lost
    ]  # fmt: skip
    gone = {id(change.operation) for change in state.lost}
    durable = [_part(one, partly=id(one.operation) in gone) for one in state.durable]
    return told(lost, durable)


def _part(change: DiskChange, *, partly: bool) -> str:
    operation = change.operation
    by = f" (event {operation.event})" if operation.event >= 0 else ""
    return f"{change.text if partly and change.text else operation.text}{by}"


def crash_at_end(hub: Hub) -> None:
    """All workers have ended: a crash may come now, too."""
    controller = hub.controller
    disk: Disk | None = disk_of(hub)
    if disk is None or not controller.log or disk.crashed is not None or not disk.rules.machine:
        return
    number = controller.log[-1][0]
    if controller.active or controller.failure is not None or controller.limit is not None:
        return
    if controller.inject(number, AT_END, -1, disk_number(hub)):
        worker = hub.workers.get(number)
        crash(worker if worker is not None else Worker(hub, number), AT_END)
        hub.at_exit.clear()
