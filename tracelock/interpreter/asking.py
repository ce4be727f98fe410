"""Asks an interpreter, in a process of its own: a statement may wait for ever, or end the process.

This room's files are all that the other interpreter needs: it does not import the package, nor
what the package needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_START = """\
import sys, types
package = types.ModuleType("tracelock")
package.__path__ = [sys.argv[1]]
sys.modules["tracelock"] = package
from tracelock.interpreter.child import main
main()
"""
_VERSION = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
#: How long a statement may take to run once, and an interpreter to start.
_SECONDS = 20.0


class AskingProblem(Exception):
    """An interpreter that cannot be asked, or gave no answer: what it is, and why."""


def ask(
    python: str, questions: Sequence[dict[str, Any]], seconds: float = _SECONDS
) -> list[dict[str, Any]]:
    """The answers of the interpreter at ``python``, see ``child.answer``. Raises AskingProblem."""
    version = _run([python, "-c", _VERSION], "", _SECONDS, python).split()
    if version[:1] != ["cpython"] or len(version) != 3 or not version[1].isdecimal():
        raise AskingProblem(f"{python} is no CPython: there are tables of CPython alone")
    if (int(version[1]), int(version[2])) < (3, 11):
        raise AskingProblem(
            f"{python} is CPython {version[1]}.{version[2]}: there are tables of 3.11 and later"
        )
    home = str(Path(__file__).resolve().parents[1])
    text = "".join(json.dumps(question) + "\n" for question in questions)
    said = _run([python, "-B", "-c", _START, home], text, seconds, python)
    answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if len(answers) != len(questions):
        raise AskingProblem(f"{python} gave no answer: its process ended")
    return answers


def this_python() -> str:
    """The running interpreter. Raises AskingProblem where it is not known."""
    if not sys.executable:
        raise AskingProblem("the running interpreter does not know its own path (sys.executable)")
    return sys.executable


def _run(command: list[str], text: str, seconds: float, python: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONSTARTUP")}
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds, check=False,
            env=environment, encoding="utf-8",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise AskingProblem(
            f"{python} gave no answer within {seconds:g} s: does the statement wait for something "
            "that nobody does?"
        ) from None
    except OSError as error:
        raise AskingProblem(f"cannot run {python}: {error.strerror}") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AskingProblem(f"{python} failed (exit status {done.returncode}): {last}")
    return done.stdout
