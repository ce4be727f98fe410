"""The documented scenarios that come with the package: where they are, and which ``@name`` means.

They lie in ``scenarios/`` of a checkout, and in the package itself where it was installed from a
wheel, which takes them from there (``pyproject.toml``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracelock.cli.usage.suggestions import nearest
from tracelock.errors import UsageError

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario

#: What stands before the name of such a scenario on the command line; ``./@name`` is a file.
MARK: Final = "@"
_ENDING: Final = ".yaml"
_PACKAGE: Final = Path(__file__).resolve().parents[2]


def folder() -> Path | None:
    """Where they are; None where an installation has none."""
    inside = _PACKAGE / "scenarios"
    if inside.is_dir():
        return inside
    checkout = _PACKAGE.parent
    there = (checkout / "pyproject.toml").is_file() and (checkout / "scenarios").is_dir()
    return checkout / "scenarios" if there else None


def names() -> list[str]:
    """The names of all, in alphabetical order, without the mark."""
    where = folder()
    return [] if where is None else sorted(one.stem for one in where.glob(f"*{_ENDING}"))


def file_of(name: str) -> Path:
    """The file of the one that is called so, with the mark or without; ``-`` is taken for ``_``.

    Raises UsageError where there is none, with the name that was probably meant.
    """
    asked = name.removeprefix(MARK)
    plain = asked.removesuffix(_ENDING).replace("-", "_")
    known, where = names(), folder()
    if where is not None and plain in known:
        return where / f"{plain}{_ENDING}"
    if where is None:
        raise UsageError(f"{MARK}{asked}: this installation of tracelock has no scenarios in it")
    near = nearest(plain, known)
    meant = f": did you mean {MARK}{near}?" if near else "; 'tracelock scenarios' lists them"
    raise UsageError(f"{MARK}{asked}: no scenario of that name comes with tracelock{meant}")


def path_of(argument: str) -> str:
    """The path that an argument means: that of a scenario of the package for ``@name``, as short as
    the current folder allows, else the argument itself. Raises UsageError as ``file_of`` does."""
    if not argument.startswith(MARK):
        return argument
    path = file_of(argument)
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):  # elsewhere, or the current folder is gone
        return str(path)


def first_sentence(scenario: Scenario) -> str:
    """What a scenario is about, in one sentence: the first of its description."""
    text = " ".join(scenario.description.split())
    end = min((at for mark in (". ", "? ") if (at := text.find(mark)) >= 0), default=len(text))
    return text[: end + 1]
