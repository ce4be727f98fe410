"""The console entry. Imports of substance are made by the command that needs them, when it runs:
``tracelock --help`` must cost no more than Python itself and argparse.
"""

from __future__ import annotations

import sys

# as typing has it, whose import takes longer than all else before an interrupt is answered
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Final

    from tracelock.cli.interrupts import Interrupted
    from tracelock.cli.output import Output

#: The modules of commands that do not have one of their own name.
_MODULES: Final = {
    "predict": "shrink", "validate": "documents", "schema": "documents", "attach": "report",
    "completion": "usage.completion", "scenarios": "learning.scenarios", "tour": "learning.tour",
    "atomic": "asking.atomic", "audit": "asking.audit", "teeth": "asking.teeth",
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
        import contextlib

        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    # here, where an interrupt is answered: most of the time that a start takes is imports
    from tracelock.cli.options import build_parser
    from tracelock.cli.streams import closed_quietly

    with closed_quietly():
        try:
            options = build_parser().parse_args(argv)
        except SystemExit as end:  # argparse has printed the help, the version or what is wrong
            return end.code if isinstance(end.code, int) else 2
        options.console = argv is None
        from tracelock.cli.interrupts import one_interrupt
        from tracelock.cli.output import Output

        out = Output()
        with one_interrupt() as interrupted:
            try:
                status = _guarded(options, out, interrupted)
                out.flush()
            except BaseException as problem:  # a panic of Rust is no Exception
                if not interrupted(problem):
                    raise
                raise KeyboardInterrupt from None
        return status


def _guarded(options: argparse.Namespace, out: Output, interrupted: Interrupted) -> int:
    from tracelock.errors import InternalError, TracelockError, UsageError, exhausted

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
    except Exception as problem:
        out.flush()
        if said := exhausted(problem):
            out.problem(said)
            return 125 if bisect else UsageError.exit_status
        if interrupted(problem):
            raise
        return _report(out, 125 if bisect else INTERNAL)


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
        from tracelock.cli.inputs import check_inputs
        from tracelock.cli.outputs import claim_outputs

        check_inputs(options)
        claim_outputs(options, out)
    return run(options, out)


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
