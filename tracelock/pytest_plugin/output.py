"""What a test writes while it is explored: that of the last schedule alone is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from _pytest.logging import caplog_handler_key, caplog_records_key


def forget_output(item: pytest.Item) -> Callable[[], None]:
    """What drops the output of the schedules before: that of the last one is what is shown."""
    capture, logging = _captures(item)

    def forget() -> None:
        if capture is not None:
            capture.read_global_capture()
        handler = item.stash.get(caplog_handler_key, None)
        if handler is not None:
            handler.reset()
            item.stash[caplog_records_key]["call"] = handler.records
        if logging is not None:
            logging.report_handler.reset()

    return forget


def _captures(item: pytest.Item) -> tuple[Any, Any]:
    """The plugins that take what is written, and what is logged; None where one does not."""
    plugins = item.config.pluginmanager
    capture, logging = plugins.getplugin("capturemanager"), plugins.getplugin("logging-plugin")
    capturing = capture is not None and capture.is_capturing() in ("global", True)
    return capture if capturing else None, logging


@dataclass(slots=True)
class ItemOutput:
    """``out`` and ``err``: the standard streams; ``log``: what pytest's reports show of the log."""

    out: str = ""
    err: str = ""
    log: str = ""

    @staticmethod
    def begin(item: pytest.Item) -> Recording:
        """Take what this process writes from now on; the files of its parent stay as they are."""
        return Recording(item)

    def show(self, item: pytest.Item) -> None:
        """Let this be what the test has written, and nothing else."""
        capture, logging = _captures(item)
        if capture is not None:
            capture.read_global_capture()
        sys.stdout.write(self.out)
        sys.stderr.write(self.err)
        if logging is not None:
            logging.report_handler.reset()
            logging.report_handler.stream.write(self.log)


class Recording:
    """What is written while it is on: see ``forget_output`` for what is dropped."""

    def __init__(self, item: pytest.Item) -> None:
        plugins = item.config.pluginmanager
        self._logging: Any = plugins.getplugin("logging-plugin")
        self._capture: Any = plugins.getplugin("capturemanager")
        if self._capture is not None:
            self._capture.stop_global_capturing()
            self._capture._method = "fd"
            self._capture.start_global_capturing()

    def end(self) -> ItemOutput:
        """What was written last."""
        out = err = log = ""
        if self._capture is not None:
            out, err = self._capture.read_global_capture()
        if self._logging is not None:
            log = self._logging.report_handler.stream.getvalue()
        return ItemOutput(out, err, log)
