"""tqdm 4.32.1: the positions of the bars are looked through while another bar is added."""

import contextlib
import threading

KINDS = {"atomicity-violation", "interference", "data-race"}


class Bars:
    def __init__(self):
        self.lock = threading.Lock()
        self.bars = {0, 1}

    def free(self):
        with contextlib.nullcontext():  # mend: with self.lock:
            return len([bar for bar in self.bars if bar >= 0])

    def add(self, bar):
        with self.lock:
            self.bars.add(bar)


def setup():
    return Bars()


workers = [lambda bars: bars.free(), lambda bars: bars.add(2)]
