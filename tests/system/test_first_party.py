"""What is instrumented unless told otherwise: the bug is seldom in the module of the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tracelock

pytest_plugins = "pytester"

CLASS = """\
class Account:
    def __init__(self):
        self.balance = 0

    def add(self):
        self.balance += 1
"""
TEST = """\
import threading

import pytest

from shop.accounts import Account


@pytest.mark.tracelock
def test_adds():
    account = Account()
    threads = [threading.Thread(target=account.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.balance == 2
"""
PROGRAM = """\
from elsewhere import Account


def add(account):
    account.add()


def check(account):
    return account.balance == 2
"""


def test_the_plugin_looks_into_the_class_under_test(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("shop").joinpath("accounts.py").write_text(CLASS)
    pytester.makepyfile(test_shop=TEST)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(failed=1)
    assert "shop/accounts.py" in result.stdout.str()


def test_the_plugin_looks_into_what_a_fixture_of_conftest_gives(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("shop").joinpath("accounts.py").write_text(CLASS)
    pytester.makepyfile(
        test_shop=TEST.replace("from shop.accounts import Account", "")
        .replace("def test_adds():", "def test_adds(account):\n    account.balance = 0")
        .replace("account = Account()", "")
    )
    pytester.makeconftest(
        "import pytest\nfrom shop.accounts import Account\n\n\n"
        "@pytest.fixture\ndef account():\n    return Account()\n"
    )
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    assert "shop/accounts.py" in result.stdout.str()


def test_explore_looks_into_the_class_under_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere.py").write_text(CLASS)
    (tmp_path / "uses_elsewhere.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    import elsewhere  # type: ignore[import-not-found]
    import uses_elsewhere  # type: ignore[import-not-found]

    given = {
        "setup": elsewhere.Account, "workers": [uses_elsewhere.add] * 2,
        "check": uses_elsewhere.check, "schedules": 100,
    }  # fmt: skip
    found = tracelock.explore(**given)
    assert found.failed and found.trace is not None
    assert found.trace.scenario["python"]["instrument"] == ["uses_elsewhere", "elsewhere"]
    nothing = tracelock.explore(**given, instrument=[])
    assert nothing.verdict == "passed" and nothing.account is not None
    assert set(nothing.account.not_seen) & {"elsewhere", "uses_elsewhere"}
    for name in ("elsewhere", "uses_elsewhere"):
        sys.modules.pop(name)


def test_installed_packages_and_the_standard_library_are_not_first_party() -> None:
    found = tracelock.explore(workers=[work], schedules=1)
    assert found.account is not None
    from tracelock.session.first_party import first_party

    own = first_party([__name__], str(Path(__file__).resolve().parents[2]))
    assert own[0] == __name__
    assert not {"pytest", "sys", "pathlib", "tracelock"} & {one.partition(".")[0] for one in own}


def work() -> None:
    pass
