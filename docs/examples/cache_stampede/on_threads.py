"""A cache that lets everybody compute what is not there yet.

While the first one computes, the value is still missing: whoever asks meanwhile computes it too.
"""

import threading
import time


class Cache:
    def __init__(self):
        self.values = {}
        self.lock = threading.Lock()
        self.computed = []

    def compute(self, name):
        self.computed.append(name)
        time.sleep(1.0)  # a slow query
        return name.upper()

    def get(self, name):
        if name not in self.values:
            self.values[name] = self.compute(name)
        return self.values[name]

    def get_once(self, name):
        with self.lock:
            if name not in self.values:
                self.values[name] = self.compute(name)
            return self.values[name]


def visitor(cache):
    assert cache.get("front page") == "FRONT PAGE"


def patient_visitor(cache):
    assert cache.get_once("front page") == "FRONT PAGE"


def check(cache):
    assert len(cache.computed) == 1, f"computed {len(cache.computed)} times"


BUGGY = {"setup": Cache, "workers": [visitor] * 3, "check": check}
FIXED = {"setup": Cache, "workers": [patient_visitor] * 3, "check": check}
