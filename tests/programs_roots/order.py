"""CPython bpo-43468: two cached properties whose locks are taken in both orders."""

import threading

KINDS = {"deadlock"}


class Cached:
    def __init__(self):
        self.first = threading.Lock()
        self.second = threading.Lock()


def setup():
    return Cached()


def forth(cached):
    with cached.first, cached.second:
        pass


def back(cached):
    with cached.second, cached.first:  # mend: with cached.first, cached.second:
        pass


workers = [forth, back]
