"""Accounts: a test before a withdrawal, transfers that are looked at, locks in two orders."""

from __future__ import annotations

import threading

from tests.programs_interpreter.program import Program


class Account:
    def __init__(self, balance: int = 100) -> None:
        self.balance = balance
        self.lock = threading.Lock()
        self.audited = 0

    def audit(self, amount: int) -> None:
        self.audited = amount

    def withdraw(self, amount: int) -> None:
        if self.balance >= amount:
            self.audit(amount)
            self.balance -= amount


def withdraw(account: Account) -> None:
    account.withdraw(60)


def not_negative(account: Account) -> bool:
    return account.balance >= 0


class Bank:
    def __init__(self) -> None:
        self.here = Account()
        self.there = Account()
        self.sums: list[int] = []

    def move(self) -> None:
        self.here.balance -= 10
        self.there.balance += 10

    def move_audited(self) -> None:
        self.here.balance -= 10
        self.here.audit(10)
        self.there.balance += 10

    def add_up(self) -> None:
        self.sums.append(self.here.balance + self.there.balance)

    def move_in_locks(self, first: Account, second: Account) -> None:
        with first.lock, second.lock:
            first.balance -= 10
            second.balance += 10

    def move_in_audited_locks(self, first: Account, second: Account) -> None:
        with first.lock:
            first.audit(10)
            with second.lock:
                first.balance -= 10
                second.balance += 10


def move(bank: Bank) -> None:
    bank.move()


def move_audited(bank: Bank) -> None:
    bank.move_audited()


def add_up(bank: Bank) -> None:
    bank.add_up()


def nothing_missing(bank: Bank) -> bool:
    return all(one == 200 for one in bank.sums)


def forth(bank: Bank) -> None:
    bank.move_in_locks(bank.here, bank.there)


def back(bank: Bank) -> None:
    bank.move_in_locks(bank.there, bank.here)


def forth_audited(bank: Bank) -> None:
    bank.move_in_audited_locks(bank.here, bank.there)


def back_audited(bank: Bank) -> None:
    bank.move_in_audited_locks(bank.there, bank.here)


def as_before(bank: Bank) -> bool:
    return bank.here.balance == bank.there.balance == 100


PROGRAMS = [
    Program(
        "a withdrawal that is audited", Account, (withdraw, withdraw), not_negative,
        "breaks", "breaks",
        "audit() is a Python call between the test of the balance and its update.",
    ),
    Program(
        "a transfer, and its sum", Bank, (move, add_up), nothing_missing, "right", "breaks",
        "two updates of plain attributes after each other, two reads after each other: no check."
        " Without the GIL the sum may be taken between the two updates.",
    ),
    Program(
        "a transfer that is audited, and its sum", Bank, (move_audited, add_up), nothing_missing,
        "breaks", "breaks",
        "audit() is a Python call between the two updates.",
    ),
    Program(
        "two locks in two orders", Bank, (forth, back), as_before, "right", "breaks",
        "up to 3.13 and in 3.15 entering `with` on a free lock does not check, so whoever has the"
        " first lock takes the second at once; it can be interrupted when it has given one back,"
        " and it wants no more then. 3.14 enters by a CALL, which checks.",
        gil_on={(3, 14): "breaks"},
    ),
    Program(
        "two locks in two orders, a call in between", Bank, (forth_audited, back_audited),
        as_before, "breaks", "breaks",
        "audit() is a Python call between the two locks: each may hold one and wait for the other.",
    ),
]  # fmt: skip
