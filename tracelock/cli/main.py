"""The console entry. Imports of substance are made by the command that needs them, when it runs:
``tracelock --help`` must cost no more than Python itself and argparse.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tracelock.cli.options import build_parser
from tracelock.cli.streams import closed_quietly

if TYPE_CHECKING:
    import argparse

    from tracelock.cli.output import Output

#: The modules of commands that do not have one of their own name.
_MODULES: Final = {
    "predict": "shrink", "validate": "documents", "schema": "documents", "attach": "report",
}  # fmt: skip
INTERNAL: Final = 4
INTERRUPTED: Final = 130  # as a shell says of a command that SIGINT ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; ``argv`` without the program's name.

    0 as it should be, 1 a failure was found or a replay ended differently, 2 bad usage or input,
    3 a replay diverged, 4 internal error, 5 unfinished.
    """
    try:
        return _main(argv)
    except KeyboardInterrupt:  # before a command begins, or when it has ended
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    with closed_quietly():
        try:
            options = build_parser().parse_args(argv)
        except SystemExit as end:  # argparse has printed the help, the version or what is wrong
            return end.code if isinstance(end.code, int) else 2
        from tracelock.cli.interrupts import one_interrupt
        from tracelock.cli.output import Output

        out = Output()
        with one_interrupt():
            status = _guarded(options, out)
            out.flush()
        return status


def _guarded(options: argparse.Namespace, out: Output) -> int:
    from tracelock.errors import InternalError, TracelockError

    # To git bisect every status but 0 and 125 says "bad": what could not be tried is 125.
    bisect = bool(getattr(options, "bisect", False))
    try:
        return dispatch(options, out)
    except InternalError:
        out.flush()
        return _report(out, 125 if bisect else InternalError.exit_status)
    except TracelockError as error:
        out.flush()
        out.problem(str(error))
        return 125 if bisect else error.exit_status
    except KeyboardInterrupt:
        out.flush()
        out.note("interrupted")
        return INTERRUPTED
    except Exception as error:
        out.flush()
        lacking = _lacking(error)
        if lacking is None:
            return _report(out, 125 if bisect else INTERNAL)
        out.problem(lacking)
        return 125 if bisect else 2


def dispatch(options: argparse.Namespace, out: Output) -> int:
    """Call the command that ``options`` name; its exit status."""
    from importlib import import_module

    command: str = options.command
    module = import_module(f"tracelock.cli.{_MODULES.get(command, command)}")
    run: Callable[[argparse.Namespace, Output], int] = getattr(module, f"{command}_command")
    if getattr(options, "allow_call", False):
        from tracelock.backends.calls import check_calls

        check_calls()
    if options.files:
        from tracelock.cli.outputs import claim_outputs

        claim_outputs(options, out)
    return run(options, out)


def _lacking(error: BaseException) -> str | None:
    """What the machine, or a bound that this process was given, has too little of; what to do."""
    import errno

    wanted = {
        errno.EMFILE: "open files than this process may have: raise `ulimit -n`",
        errno.ENFILE: "open files than this machine has: end other programs",
        errno.EAGAIN: "processes than this user may have: raise `ulimit -u`, or use fewer --jobs",
        errno.ENOMEM: "memory than this process may have: raise `ulimit -v`, or end other programs",
        errno.ENOSPC: "room than the disk has: make some, or write elsewhere",
        errno.EDQUOT: "room on the disk than this user may have: make some, or write elsewhere",
    }
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        number = errno.EAGAIN
    return f"this takes more {wanted[number]}" if number in wanted else None


def _report(out: Output, status: int) -> int:
    """Say what to report of the exception in hand."""
    import platform
    import traceback

    from tracelock import __version__

    out.problem(traceback.format_exc().rstrip())
    out.note(
        "\ninternal error: tracelock contradicted itself or met what it did not expect. Please "
        "report it with the lines\nabove, the scenario or trace, and this: "
        f"tracelock {__version__}, {platform.python_implementation()} "
        f"{platform.python_version()}, {platform.platform()}"
    )
    return status
