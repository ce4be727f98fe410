"""A counter that is read and written back in two steps."""

import contextlib
import threading

KINDS = {"lost-update"}


class Counter:
    def __init__(self):
        self.lock = threading.Lock()
        self.n = 0

    def add(self):
        with contextlib.nullcontext():  # mend: with self.lock:
            self.n += 1


def setup():
    return Counter()


workers = [lambda counter: counter.add()] * 2


def check(counter):
    assert counter.n == 2
