"""Who holds a lease is stopped for longer than the lease lasts, and goes on as if nothing was.

A pause (of the garbage collector, of the machine, of the network) can come between the look at the
lease and the write. Meanwhile somebody else has the lease, rightly.
"""

import threading
import time

import tracelock


class Leases:
    """Gives the lease to one at a time, for ten seconds. ``token``: counts how often."""

    def __init__(self):
        self.lock = threading.Lock()
        self.until = 0.0
        self.token = 0

    def take(self):
        with self.lock:
            if time.monotonic() < self.until:
                return None
            self.until = time.monotonic() + 10.0
            self.token += 1
            return self.token


class File:
    """What the lease is for. ``written``: the tokens of those who wrote."""

    def __init__(self):
        self.lock = threading.Lock()
        self.leases = Leases()
        self.written = []

    def write(self, token):
        with self.lock:
            self.written.append(token)


class FencedFile(File):
    """Refuses whoever comes with an older token than it has seen."""

    def write(self, token):
        with self.lock:
            if not self.written or token > self.written[-1]:
                self.written.append(token)


def writer(file):
    while (token := file.leases.take()) is None:
        time.sleep(4.0)
    time.sleep(tracelock.choice([1.0, 15.0]))  # the work, and perhaps a pause
    file.write(token)


def check(file):
    assert file.written == sorted(file.written), f"an old lease wrote last: {file.written}"


BUGGY = {"setup": File, "workers": [writer] * 2, "check": check}
FIXED = {"setup": FencedFile, "workers": [writer] * 2, "check": check}
