"""The same of coroutines: the program of a client whose workers are tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracelock.audit.bench import WORKERS
from tracelock.audit.judging import Judge
from tracelock.audit.program import ENDING, head_of, in_order_of, seen_of
from tracelock.audit.reading import AuditedClass
from tracelock.audit.results import WAITS
from tracelock.audit.task_bench import EARLY
from tracelock.audit.task_judging import TaskJudge
from tracelock.errors import UsageError

_HEAD: Final = '''
#: What the calls come to in each order, one after the other, then what is asked afterwards.
IN_ORDER = {in_order}
#: Modules to look into.
INSTRUMENT = ["only", __name__, *{instrument!r}]
#: Seconds after which a call waits for ever.
LONG = {long}


class Shared:
    """What the workers share."""

    def __init__(self, it):
        self.it = it
        self.results = {{}}
        self.tasks = {{}}
        self.over = False


async def setup():
    it = {init}
    if asyncio.iscoroutine(it):
        it = await it
{before}    return Shared(it)


'''
_BODY: Final = (
    "\n"
    + _HEAD
    + '''async def make(shared, name, calls):
    """Make the calls of a worker, until one is cancelled."""
    shared.tasks[name] = asyncio.current_task()
    for number, call in calls:
        shared.results[number] = WAITS
        result = await awaited(call, shared.it)
        ended = result == CANCELLED and asyncio.current_task().cancelling()
        shared.results[number] = WAITS if ended and shared.over else result
        if ended:
            break

{workers}
{more}WORKERS = [{names}]


async def check(shared):
    it = shared.it
    seen = [shared.results.get(number, NOT_MADE) for number in range({count})]
'''
    + ENDING
)
_CANCEL: Final = '''
async def cancel(shared):
    """Cancel the first worker, wherever it is."""
    if "first" in shared.tasks:
        shared.tasks["first"].cancel()


'''
_WATCH: Final = '''
async def watch(shared):
    """End the calls that wait for ever."""
    await asyncio.sleep(LONG)
    shared.over = True
    for task in shared.tasks.values():
        task.cancel()


'''
_IN_TIME: Final = '''
async def in_time(call, it):
    """What a call comes to that may wait for ever."""
    task = asyncio.ensure_future(awaited(call, it))
    done, _ = await asyncio.wait([task], timeout=LONG)
    if not done:
        task.cancel()
        await asyncio.wait([task])
        return WAITS
    return task.result()

'''
#: Seconds: of calls that wait for no time, and of others.
_LONG, _LONGER = 2, 100_000


#: The same with trio, where a call that is cancelled does not return.
_TRIO_HEAD: Final = _HEAD.replace(".tasks", ".scopes").replace("asyncio.is", "inspect.is")
_TRIO_BODY: Final = (
    "\nimport trio\n"
    + _TRIO_HEAD
    + '''async def make(shared, name, calls):
    """Make the calls of a worker, until one is cancelled."""
    with trio.CancelScope() as scope:
        shared.scopes[name] = scope
        for number, call in calls:
            shared.results[number] = WAITS
            try:
                shared.results[number] = await awaited(call, shared.it)
            finally:
                if shared.results[number] == WAITS and not shared.over:
                    shared.results[number] = CANCELLED

{workers}
{more}WORKERS = [{names}]


async def check(shared):
    it = shared.it
    seen = [shared.results.get(number, NOT_MADE) for number in range({count})]
'''
    + ENDING.replace('strategy="dpor"', 'strategy="dpor",\n        backend="trio",')
)
_TRIO_CANCEL: Final = _CANCEL.replace(".tasks", ".scopes")
_TRIO_WATCH: Final = '''
async def watch(shared):
    """End the calls that wait for ever."""
    await trio.sleep(LONG)
    shared.over = True
    for scope in shared.scopes.values():
        scope.cancel()


'''
_TRIO_IN_TIME: Final = '''
async def in_time(call, it):
    """What a call comes to that may wait for ever."""
    with trio.move_on_after(LONG):
        return await awaited(call, it)
    return WAITS

'''
_ASYNCIO_PARTS: Final = (_BODY, _CANCEL, _WATCH, _IN_TIME)
_TRIO_PARTS: Final = (_TRIO_BODY, _TRIO_CANCEL, _TRIO_WATCH, _TRIO_IN_TIME)


def trio_program_text(
    subject: AuditedClass, judge: Judge, instrument: Sequence[str], ignore: Sequence[str]
) -> str:
    """The text of the program, of trio. Raises UsageError for names that are not known."""
    return task_program_text(subject, judge, instrument, ignore, _TRIO_PARTS)


def task_program_text(
    subject: AuditedClass, judge: Judge, instrument: Sequence[str], ignore: Sequence[str],
    parts: tuple[str, str, str, str] = _ASYNCIO_PARTS,
) -> str:  # fmt: skip
    """The text of the program. Raises UsageError for names that are not known."""
    body, cancel, watch, in_time = parts
    assert isinstance(judge, TaskJudge) and judge.anomaly is not None and judge.run is not None
    early = judge.expired is not None
    client, count = judge.client, len(judge.client.calls)
    wholes = [judge.whole(judge.run), *(one.whole for one in judge.legal)]
    names = [name for numbers, name in zip(client.numbers, WORKERS, strict=False) if numbers]
    workers = []
    for numbers, name in zip(client.numbers, names, strict=False):
        made = [f"({number}, lambda it: {client.calls[number].source})" for number in numbers]
        calls = ",\n        ".join(made)
        workers.append(
            f"\nasync def {name}(shared):\n"
            f'    await make(shared, "{name}", [\n        {calls},\n    ])\n\n'
        )
    before = "".join(f"    await awaited(lambda it: {one.source}, it)\n" for one in client.before)
    waits = any(WAITS in one[:count] for one in wholes)
    if early and waits:
        raise UsageError("one that ends the calls that wait would have a limit of time, too")
    lead = "        " if waits else "    "
    after = "    if WAITS not in seen:\n" if waits and client.after else ""
    bounded = False
    for place, call in enumerate(client.after, count):
        may_wait = any(len(one) > place and one[place] == WAITS for one in wholes)
        bounded = bounded or may_wait
        function = "in_time" if may_wait else "awaited"
        after += f"{lead}seen.append(await {function}(lambda it: {call.source}, it))\n"
    names += ["cancel"] * judge.cancelling + ["watch"] * waits
    more = cancel * judge.cancelling + watch * waits + (in_time + "\n") * bounded
    body = body.format(
        in_order=in_order_of(judge.shown_legal()), instrument=list(instrument), init=subject.init,
        before=before, workers="\n".join(workers), names=", ".join(names), count=count,
        after=after, seen=seen_of(judge), long=_LONGER if judge.timed else _LONG,
        more=more.removeprefix("\n"),
    )  # fmt: skip
    if early:
        body = body.replace('strategy="dpor"', f'strategy="dpor", clock="{EARLY}"')
    return "\n".join([head_of(subject, client, judge.anomaly, ignore), body])
