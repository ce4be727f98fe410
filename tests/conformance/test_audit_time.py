"""Audits of classes that sleep, look at the clock and give up waiting: a bug is found although time
passes, and what only time explains is not told as one."""

from __future__ import annotations

import pytest

import tracelock
from tests.helpers import audited_timed

HERE = "tests.helpers.audited_timed"
NAMES = [name for name in vars(audited_timed) if name.endswith(("Right", "Wrong"))]
#: Timeouts of asyncio are not given to calls one after the other, nor are cancellations told from
#: what less time makes of a class that reads the clock.
NOT_CLAIMED = {"AsyncLimiterRight", "AsyncImpatientRight"}


#: Two calls on each worker, of these methods.
LONGER = {
    "LimiterRight": None, "BucketRight": None, "ImpatientRight": ["work"], "MeetingRight": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "calls"), [*((name, 1) for name in NAMES), *((name, 2) for name in LONGER)]
)
def test_what_is_wrong_in_time_is_found_and_what_is_right_is_not(name: str, calls: int) -> None:
    methods = LONGER[name] if calls > 1 else None
    found = tracelock.audit(f"{HERE}:{name}", calls=calls, methods=methods, seconds=240)
    wanted = "failed" if name.endswith("Wrong") else "verified"
    if name in NOT_CLAIMED:
        wanted = "passed"
        assert any("time" in cell.reason for cell in found.every)
    assert found.verdict == wanted, [str(one.to_data()) for one in found.every]
    if found.every_client is not None and wanted == "verified":
        assert found.every_client.verified == found.every_client.clients
    if wanted == "failed":
        assert any(cell.kind.startswith("wrong") and not cell.about for cell in found.anomalies)


def test_the_race_around_a_sleep_that_everybody_writes_first() -> None:
    found = tracelock.audit(f"{HERE}:SlowWrong", calls=1, methods=["add"], before=["count"])
    (cell,) = found.cells
    assert cell.verdict == "failed" and cell.kind == "wrong state"
