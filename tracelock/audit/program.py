"""A client that went wrong as a program of its own, which is explored, and whose trace replays."""

from __future__ import annotations

import hashlib
import os
import pprint
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tracelock.audit.bench import WORKERS
from tracelock.audit.clients import ANY, ClientOf
from tracelock.audit.judging import Anomaly, Judge
from tracelock.audit.reading import AuditedClass
from tracelock.audit.source import ignoring, imported, imports_for, results_text
from tracelock.errors import TracelockError
from tracelock.session.api import explore
from tracelock.trace.outputs import write_whole

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

_HEAD: Final = '''"""{name}: {client}

{detail}

Written by tracelock audit. It fails under ``tracelock.explore(setup=setup, workers=WORKERS,
check=check, instrument=INSTRUMENT)``, which a test below does.
"""

'''
#: What ends a program of threads, and of tasks.
ENDING: Final = """{after}    seen = numbered({seen})
    assert seen in IN_ORDER, f"this is of no order of the calls: {{seen}}"


def test_it():
    import tracelock

    found = tracelock.explore(
        setup=setup, workers=WORKERS, check=check, instrument=INSTRUMENT, strategy="dpor"
    )
    assert found.verdict != "failed", found.trace.verdict.message
"""
_BODY: Final = (
    '''

#: What the calls come to in each order, one after the other, then what is asked afterwards.
IN_ORDER = {in_order}
#: Modules to look into.
INSTRUMENT = ["only", __name__, *{instrument!r}]


class Shared:
    """What the workers share."""

    def __init__(self, it):
        self.it = it
        self.results = {{}}


def setup():
    it = {init}
{before}    return Shared(it)

{workers}
WORKERS = [{names}]


def check(shared):
    it = shared.it
    seen = [shared.results[number] for number in range({count})]
'''
    + ENDING
)
#: Schedules and seconds in which a program has to fail.
_SCHEDULES: Final = 3_000


def head_of(
    subject: AuditedClass, client: ClientOf, anomaly: Anomaly, ignore: Sequence[str]
) -> str:
    """What the text of a program begins with. Raises UsageError for names that are not known."""
    sources = [one.source for one in (*client.before, *client.calls, *client.after)]
    imports = imports_for(subject, [subject.init, *sources])
    detail = "\n".join(textwrap.wrap(f"{anomaly.kind}: {anomaly.detail}", 96))
    head = _HEAD.format(name=subject.name, client=client, detail=detail)
    head = head.replace("\\", "\\\\") + results_text()
    return "\n".join([head, ignoring(ignore), "\n".join(imports)])


def seen_of(judge: Judge) -> str:
    """The text of what was seen, as far as it is compared."""
    client, contracts = judge.client, judge.contracts
    calls = list(enumerate([*client.calls, *client.after]))
    hidden = [place for place, call in calls if contracts.view(call, ("returns", None)) == ANY]
    text = f"unseen(seen, {hidden})" if hidden else "seen"
    if contracts.any_order is None:
        return text
    return f"evened({text}, {[n for n, call in calls if call.method in contracts.any_order]})"


def in_order_of(wholes: Iterable[Any]) -> str:
    """The text of what may be seen."""
    return pprint.pformat(sorted(set(wholes), key=repr), width=96)


def program_text(
    subject: AuditedClass, judge: Judge, instrument: Sequence[str], ignore: Sequence[str]
) -> str:
    """The text of the program. Raises UsageError for names that are not known."""
    client, anomaly = judge.client, judge.anomaly
    assert anomaly is not None
    workers = []
    threads = [one for one in zip(client.numbers, WORKERS, strict=False) if one[0]]
    for numbers, name in threads:
        lines = [
            f"    shared.results[{number}] = attempt(lambda it: {client.calls[number].source}, "
            "shared.it)\n"
            for number in numbers
        ]
        workers.append(f"\ndef {name}(shared):\n{''.join(lines)}\n")
    before = "".join(f"    attempt(lambda it: {one.source}, it)\n" for one in client.before)
    after = "".join(
        f"    seen.append(attempt(lambda it: {one.source}, it))\n" for one in client.after
    )
    body = _BODY.format(
        in_order=in_order_of(one.whole for one in judge.legal), instrument=list(instrument),
        init=subject.init, before=before, workers="\n".join(workers),
        names=", ".join(name for _, name in threads), count=len(client.calls), after=after,
        seen=seen_of(judge),
    )  # fmt: skip
    return "\n".join([head_of(subject, client, anomaly, ignore), body])


def explored_program(
    folder: str, subject: AuditedClass, text: str, interpreter: str, seconds: float,
    backend: str = "", clock: str = "virtual",
) -> tuple[Explored | None, str, str]:  # fmt: skip
    """Write the program to a new file of ``folder`` and explore it: what was found (None where it
    does not fail any more), the path of the program, and why there is nothing."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    name = f"audit_{re.sub(r'[^a-z0-9]+', '_', subject.name.lower()).strip('_')}_{digest}"
    path = os.path.join(folder, f"{name}.py")
    write_whole(path, [text])
    with imported(folder, name, text) as module:
        try:
            found = explore(
                setup=module.setup, workers=module.WORKERS, check=module.check,
                instrument=module.INSTRUMENT, strategy="dpor", schedules=_SCHEDULES,
                seconds=seconds, isolation="never", interpreter=interpreter or None,
                backend=backend or None, clock=clock,
            )  # fmt: skip
        except (TracelockError, NotImplementedError) as error:
            return None, path, f"the program of it cannot be explored: {error}"
    if found.verdict != "failed" or found.trace is None:
        return None, path, f"the program of it does not fail: {found.summary}"
    return found, path, ""
