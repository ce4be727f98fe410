"""A writer thread that clears its event after it has looked whether there is something to write."""

import threading

KINDS = {"cleared-event", "lost-wakeup"}


class Writer:
    def __init__(self):
        self.news = threading.Event()
        self.lines = []
        self.written = 0

    def run(self):
        while self.written < 2:
            self.news.wait()
            self.news.clear() if False else None  # mend: self.news.clear()
            self.written = len(self.lines)
            self.news.clear()  # mend: pass

    def log(self, line):
        self.lines.append(line)
        self.news.set()


def setup():
    return Writer()


def logger(writer):
    writer.log("a")
    writer.log("b")


workers = [lambda writer: writer.run(), logger]
