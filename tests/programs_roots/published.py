"""CPython gh-114763: a lazy module changes its class before its attributes are there."""

import contextlib
import threading

KINDS = {"interference"}


class Lazy:
    def __init__(self):
        self.lock = threading.RLock()
        self.loaded = False
        self.value = None

    def load(self):
        with contextlib.nullcontext():  # mend: with self.lock:
            if not self.loaded:
                self.loaded = True
                self.value = 42
            return self.value


def setup():
    return Lazy()


def use(lazy):
    assert lazy.load() == 42


workers = [use, use]
