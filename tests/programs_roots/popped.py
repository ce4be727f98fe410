"""zict 3.0.0: ``pop`` is a get and a delete, each under the lock, and not both."""

import contextlib
import threading

KINDS = {"check-then-act"}


class Store:
    def __init__(self):
        self.lock = threading.RLock()
        self.data = {"k": "v"}

    def get(self, key):
        with self.lock:
            return self.data.get(key)

    def delete(self, key):
        with self.lock:
            del self.data[key]

    def pop(self, key):
        with contextlib.nullcontext():  # mend: with self.lock:
            value = self.get(key)
            if value is not None:
                self.delete(key)
            return value


def setup():
    return Store()


workers = [lambda store: store.pop("k")] * 2
