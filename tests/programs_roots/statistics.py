"""tenacity 9.2.1: the statistics of a decorated function are those of all its callers."""

import contextlib
import threading

KINDS = {"interference", "check-then-act", "lost-update", "data-race"}


class Retrying:
    def __init__(self):
        self.lock = threading.Lock()
        self.statistics = {}

    def begin(self):
        self.statistics.clear()
        self.statistics["attempt"] = 1

    def call(self):
        with contextlib.nullcontext():  # mend: with self.lock:
            self.begin()
            self.statistics["attempt"] += 1


def setup():
    return Retrying()


workers = [lambda retrying: retrying.call()] * 2
