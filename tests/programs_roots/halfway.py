"""A transfer that fails after the money is taken away and before it is given."""

import threading

KINDS = {"exception-in-section"}


class Bank:
    def __init__(self):
        self.lock = threading.Lock()
        self.mine, self.yours = 100, 0

    def transfer(self, amount):
        with self.lock:
            self.mine -= amount  # mend: int(amount)
            if amount > 10:
                raise ValueError(amount)
            self.yours += amount


def setup():
    return Bank()


def mover(bank):
    try:  # noqa: SIM105
        bank.transfer(60)
    except ValueError:
        pass


def auditor(bank):
    with bank.lock:
        assert bank.mine + bank.yours == 100


workers = [mover, auditor]
