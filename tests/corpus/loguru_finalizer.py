"""Delgan/loguru issue #712 (fixed in 0.7.0: raises instead of hanging): a finalizer that logs runs
while a handler's Lock is held.
Kind: deadlock (GC / __del__ re-entrancy), ONE thread.
Lines: loguru/_handler.py emit 'with self._lock:' ... sink.write.
"""

import gc

from loguru import logger

DEADLOCK = True


class Node:
    def __init__(self, log):
        self.me = self
        self.log = log  # a cycle: only the collector frees it

    def __del__(self):
        self.log.info("finalized")


def setup():
    logger.remove()
    out = []

    def sink(message):
        out.append(str(message))
        [{} for _ in range(20)]

    logger.add(sink, format="{message}")
    gc.collect()
    Node(logger)  # garbage waiting for a collection
    return {"out": out}


def worker(s):
    logger.info("hello")


workers = [worker]


def check(s):
    assert "hello\n" in s["out"]
    gc.collect()
