"""opentelemetry-sdk 1.39.1: an instrument is registered before it is in the map."""

import contextlib
import threading

KINDS = {"interference"}


class Meter:
    def __init__(self):
        self.ids_lock = threading.Lock()
        self.map_lock = threading.Lock()
        self.whole = threading.Lock()
        self.ids = set()
        self.instruments = {}

    def register(self, name):
        with self.ids_lock:
            known = name in self.ids
            self.ids.add(name)
            return known

    def create(self, name):
        with contextlib.nullcontext():  # mend: with self.whole:
            known = self.register(name)
            with self.map_lock:
                if not known:
                    self.instruments[name] = object()
                return self.instruments[name]


def setup():
    return Meter()


def create(meter):
    meter.create("hits")


workers = [create, create]
