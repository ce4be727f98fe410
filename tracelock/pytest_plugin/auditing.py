"""``@pytest.mark.tracelock_audit``: a test that passes where an audit of a class does."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tracelock.audit import audit
from tracelock.errors import TracelockError
from tracelock.trace.folder import FOLDER, own_folder


def run_audit(item: pytest.Item, marker: pytest.Mark) -> None:
    """Audit what the marker names, before the body of the test runs. It fails where something went
    wrong, with the smallest client of each anomaly, and where nothing could be decided."""
    given: dict[str, Any] = {"folder": own_folder(FOLDER), **marker.kwargs}
    try:
        found = audit(*marker.args, **given)
    except TracelockError as error:
        pytest.fail(f"tracelock_audit: {error}", pytrace=False)
    lines = [str(found)]
    for cell in found.anomalies:
        lines += [f"{cell.kind}: {cell.client}", f"  {cell.detail}"]
        if cell.recorded is not None and cell.program is not None:
            path = f"{os.path.splitext(cell.program)[0]}.json"
            cell.recorded.save(path)
            lines.append(
                f"  replay it: PYTHONPATH={os.path.dirname(path) or '.'} tracelock replay {path} "
                "--allow-call"
            )
    if found.verdict in ("failed", "unfinished"):
        reasons = {cell.reason for cell in found.cells if cell.verdict == "unfinished"}
        pytest.fail("\n".join([*lines, *sorted(filter(None, reasons))]), pytrace=False)
    item.add_report_section("call", "tracelock audit", found.to_markdown())
