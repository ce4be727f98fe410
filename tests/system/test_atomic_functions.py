"""``tracelock atomic module:function``: the body of a function, and two threads that call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracelock
from tracelock.cli.main import main
from tracelock.errors import UsageError

BANK = '''"""A bank."""
import threading
from functools import lru_cache, wraps

TOTAL = 0
RATES = {"eur": 1}


def traced(function):
    @wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


class Account:
    opened = 0

    def __init__(self, balance=100):
        self.balance = balance
        self.lock = threading.Lock()

    def withdraw(self, amount: int):
        """Take some."""
        if self.balance >= amount:
            self.balance -= amount
            return True
        return False

    def audited(self, amount: int):
        if self.balance >= amount:
            self.note(amount)
            self.balance -= amount

    def note(self, amount):
        self.last = amount

    def safe(self, amount: int):
        """It has a docstring."""
        with self.lock:
            self.balance = max(self.balance - amount, 0)

    @classmethod
    def open(cls):
        cls.opened += 1

    @staticmethod
    def total(n=1):
        global TOTAL
        TOTAL = max(TOTAL + n, 0)
        return TOTAL


class Savings(Account):
    def withdraw(self, amount: int):
        before = super().withdraw(amount)
        self.taken = before


def rate(k="eur", *, by: int):
    RATES[k] += by


@lru_cache
def cached(x):
    return x


@traced
def wrapped(x):
    return x


async def later():
    pass


def many():
    yield 1


def needs(thing):
    thing.x = 1
'''


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bank_of_atomic.py").write_text(BANK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def asked(name: str, with_: str | None = None, **options: str) -> tracelock.Atomicity:
    return tracelock.atomic(f"bank_of_atomic:{name}", with_, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "setup", "gil", "free"),
    [
        ("Account.withdraw", "amount = 60", True, False),
        ("Account.audited", "amount = 60", False, False),
        ("Account.safe", "", True, True),
        ("Account.open", "", True, False),
        ("Account.total", "", False, False),
        ("rate", "", True, False),
        ("Savings.withdraw", "", False, False),
    ],
)
def test_functions_and_methods(name: str, setup: str, gil: bool, free: bool) -> None:
    found = asked(name, setup=setup)
    assert [one.atomic for one in found.answers] == [gil, free], found.answers
    if name != "Savings.withdraw":
        assert (found.trace is None) == free


def test_results_tell_two_calls_apart_and_a_trace_replays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["atomic", "bank_of_atomic:Account.withdraw", "--setup", "amount = 60"]
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in data["accesses"]] == [
        "reading self.balance", "reading self.balance", "writing self.balance",
    ]  # fmt: skip
    assert data["accesses"][0]["line"] == 26
    assert data["cure"] == "with lock: bank_of_atomic.Account.withdraw(self, amount)"
    root = str(Path(tracelock.__file__).resolve().parents[1])
    again = subprocess.run(
        [sys.executable, "-m", "tracelock", "replay", data["trace"], "--allow-call", "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".tracelock", root])},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "line 26: reading self.balance" in text
    assert "where self = bank_of_atomic.Account()" in text
    assert "second gets True" in text


def test_with_another_function_or_a_statement() -> None:
    both = asked("Account.withdraw", "bank_of_atomic:Account.audited")
    assert not both.answers[0].atomic
    found = asked("Account.withdraw", "self.balance = 0")
    assert [one.atomic for one in found.answers] == [True, False] and found.trace is not None


def test_another_interpreter_and_a_run_for_real() -> None:
    found = tracelock.atomic(
        "bank_of_atomic:Account.open", python=[sys.executable], stress=500
    )  # fmt: skip
    assert [one.atomic for one in found.answers] == [True, False, True]
    assert found.answers[0].stress is not None and found.answers[0].stress["anomalies"] == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "bank_of_atomic has no 'nothing'"),
        ("Account.nothing", "bank_of_atomic.Account has no 'nothing'"),
        ("Account", "is a class: ask of one of its methods"),
        ("cached", "is in C and has no bytecode"),
        ("later", "is a coroutine function"),
        ("many", "is a generator function"),
        ("TOTAL", "is no function"),
        ("needs", "takes 'thing', of which nothing is known"),
    ],
)
def test_what_is_no_function_is_said(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        asked(name)


def test_modules_that_cannot_be_imported_are_said() -> None:
    Path("broken_of_atomic.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(UsageError, match="raises ZeroDivisionError"):
        tracelock.atomic("broken_of_atomic:f")
    with pytest.raises(UsageError, match="write bank_of_atomic:rate"):
        tracelock.atomic("bank_of_atomic.py:rate")
    with pytest.raises(UsageError, match=r"len is in C"):
        tracelock.atomic("builtins:len")


def test_a_decorated_function_is_its_wrapper() -> None:
    found = asked("wrapped", setup="x = [1]")
    assert found.accesses[-1]["text"] == "calling function(*args)"
