"""python-dateutil 2.9: a generator leaves its loop with the lock of the cache held."""

import threading

KINDS = {"abandoned-lock"}


class Rules:
    def __init__(self):
        self.lock = threading.Lock()
        self.cache = []

    def fill(self):
        self.lock.acquire()
        if self.cache:
            return  # mend: return self.lock.release()
        self.cache.append(1)
        self.lock.release()


def setup():
    return Rules()


workers = [lambda rules: rules.fill()] * 3
