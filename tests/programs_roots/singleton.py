"""filelock 3.13.1: one lock for each path, by get-or-create without a lock."""

import contextlib
import threading

KINDS = {"check-then-act"}


class Registry:
    def __init__(self):
        self.guard = threading.Lock()
        self.instances = {}

    def open(self, path):
        with contextlib.nullcontext():  # mend: with self.guard:
            instance = self.instances.get(path)
            if instance is None:
                instance = object()
                self.instances[path] = instance
            return instance


def setup():
    return {"registry": Registry(), "got": []}


def opener(state):
    state["got"].append(state["registry"].open("a.lock"))


workers = [opener, opener]


def check(state):
    assert state["got"][0] is state["got"][1], "two locks for one path"
