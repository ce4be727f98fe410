"""The program that an audit has written of an anomaly, as a test uses it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

import tracelock
from tracelock.audit.matrix import AuditCell


def replayed(cell: AuditCell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the program of ``cell`` in this folder, once its trace has replayed on it."""
    assert cell.program is not None and cell.recorded is not None, cell.reason
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module(Path(cell.program).stem)
    again = tracelock.replay(
        cell.recorded, setup=module.setup, workers=module.WORKERS, check=module.check
    )
    assert again.reproduced
    return module
