"""rich 9.8.0: ``stop`` joins the refresh thread with the lock held that this thread needs."""

import threading

KINDS = {"deadlock"}


class Live:
    def __init__(self):
        self.lock = threading.Lock()
        self.frames = 0
        self.thread = threading.Thread(target=self.refresh)

    def refresh(self):
        with self.lock:
            self.frames += 1

    def stop(self):
        with self.lock:
            self.frames += 1
            self.thread.join()  # mend: pass
        self.thread.join()


def setup():
    return Live()


def main(live):
    live.thread.start()
    live.stop()


workers = [main]
