"""Textualize/rich issue #927 (fixed in 9.8.2; same shape as #90 in 1.1.6): Live.stop() joins the
refresh thread under the lock the refresh thread needs.
Kind: deadlock (join under lock), second thread is created inside the library.
Lines: rich/live.py stop 'self._refresh_thread.join()' vs _RefreshThread.run 'with
self.live._lock'.
"""

import io
import time

from rich.console import Console
from rich.live import Live

DEADLOCK = True


def setup():
    live = Live(
        "x", console=Console(file=io.StringIO(), force_terminal=True), refresh_per_second=1000
    )
    live.start()
    return {"live": live}


def stopper(s):
    time.sleep(0.001)
    s["live"].stop()


workers = [stopper]


def check(s):
    assert not s["live"]._started
