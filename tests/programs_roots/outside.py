"""A bank account that looks whether there is enough before it takes its lock."""

import contextlib
import threading

KINDS = {"check-outside-lock"}


class Account:
    def __init__(self):
        self.lock = threading.RLock()
        self.balance = 100

    def withdraw(self, amount):
        with contextlib.nullcontext():  # mend: with self.lock:
            if self.balance >= amount:
                with self.lock:
                    self.balance -= amount


def setup():
    return Account()


def customer(account):
    account.withdraw(60)


workers = [customer, customer]


def check(account):
    assert account.balance >= 0, account.balance
