"""A Python program as plain bytes: its functions by the names that they are imported by."""

from __future__ import annotations

import functools
import io
import pickle
import sys
from dataclasses import dataclass, fields
from types import FunctionType
from typing import Any, Final

from tracelock.errors import TracelockError, UsageError
from tracelock.instrument.program import PythonProgram

#: The fields of a program that are made from the others.
_MADE: Final = frozenset({"layout", "outcome", "aim", "always", "finally_", "watched"})


@dataclass(frozen=True, slots=True)
class ProgramAsBytes:
    """``content``: the pickled fields of a program, functions by name; ``path``: where modules were
    looked for; ``sources``: the digest of the source of each module that was looked into."""

    content: bytes
    path: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def program(self) -> PythonProgram:
        """The program, its functions imported. Raises UsageError where that cannot be done here."""
        sys.path.extend(folder for folder in self.path if folder not in sys.path)
        try:
            given = pickle.loads(self.content)
        except TracelockError:
            raise
        except Exception as error:
            raise UsageError(
                "a process that was to share the search cannot import the program: "
                f"{type(error).__name__}: {error}. Its modules have to be importable there by the "
                "same names"
            ) from error
        return PythonProgram(**given)


def as_bytes(program: PythonProgram, sources: dict[str, str]) -> ProgramAsBytes:
    """What ``ProgramAsBytes.program`` makes the program of again, in any process that can import
    its modules.

    Raises UsageError, with the way out, where a function has no name that it can be imported by:
    code that is in no module that others can import could not be looked into there.
    """
    if program.invariants:
        raise UsageError(
            "invariants between steps (always) are looked at in one process: leave out --jobs, "
            "--dask and --checkpoint, or the invariants"
        )
    if "pytest" in program.source:
        raise UsageError("a test of pytest is explored in one process: its fixtures are there")
    names = [one.name for one in fields(program) if one.name not in _MADE]
    file = io.BytesIO()
    _ByName(file).dump({name: getattr(program, name) for name in names})
    digests = tuple(sorted(sources.items()))
    return ProgramAsBytes(file.getvalue(), tuple(sys.path), digests)


class _ByName(pickle.Pickler):
    """Pickles functions and classes by name, and says which of them have none."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 5)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (FunctionType, type)):
            _check_name(obj)
        elif isinstance(obj, functools.partial):
            return NotImplemented
        return NotImplemented

    def dump(self, obj: Any) -> None:
        try:
            super().dump(obj)
        except TracelockError:
            raise
        except Exception as error:
            raise UsageError(_told("what the program is given", str(error))) from error


def _check_name(obj: Any) -> None:
    module, name = obj.__module__, obj.__qualname__
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if module == "__main__":
        raise UsageError(_told(f"{name} of a script that was run", "scripts are not imported"))
    if found is not obj:
        what = "a lambda" if "<lambda>" in name else name
        raise UsageError(_told(f"{what} of {module}", "it is not a name of that module"))


def _told(what: str, why: str) -> str:
    return (
        f"{what} cannot be imported by name in the processes that are to share the search, or to "
        f"go on with it ({why}). Put setup, workers and check into a module as functions of their "
        "own, or leave jobs, dask, executor and checkpoint away"
    )
