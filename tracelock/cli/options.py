"""What may stand on the command line. Imports nothing of substance, see ``main``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final, NoReturn

from tracelock import __version__
from tracelock.schedulers.strategies import explore_names, run_names

# The same as in ``tracelock.session``, which would take too long to import for a help page; a
# test holds the two together.
BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
CLOCKS: Final = ("virtual", "adversarial")
EXPORTS: Final = ("threading", "multiprocessing", "asyncio", "trio", "pytest")
START_METHODS: Final = ("fork", "spawn", "forkserver")

REPORTS: Final = ("html", "markdown", "chrome", "shiviz", "text")

_ABOUT: Final = "Make concurrency bugs reproducible: run, record and replay interleavings."
_STATUSES: Final = """\
exit status:
  0  as it should be (run: passed; replay: ended as the trace says)
  1  a failure was found (run), or the replay ended differently
  2  bad usage or bad input: nothing was run or written
  3  the replay diverged, or the trace is impossible on that backend
  4  internal error (please report it)
  5  unfinished: a limit was reached or the run was interrupted; nothing is claimed
"""
_BISECT: Final = "for 'git bisect run': 1 the recorded failure happens, 0 it does not, 125 neither"


class _Parser(argparse.ArgumentParser):
    """No guessing of abbreviations: an option that is added later must change nothing."""

    def __init__(self, *args: Any, **more: Any) -> None:
        more["allow_abbrev"] = False
        super().__init__(*args, **more)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n(see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``command`` in its result names the one chosen."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("tracelock", description=_ABOUT, epilog=_STATUSES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"tracelock {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")

    _run(add("run", "run a scenario, once or often, and keep the trace"))
    _replay(add("replay", "execute a trace again, event by event"))
    explore = add("explore", "search the schedules of a scenario for one that goes wrong")
    explore.add_argument("scenario", metavar="SCENARIO", help="a YAML or JSON file")
    _explore(explore, "threading")
    explore.add_argument(
        "--cancellations", type=_at_least(0), metavar="N",
        help="of Python code: how many awaits of a schedule may be cancelled",
    )  # fmt: skip
    explore.add_argument(
        "--gc", action="store_true",
        help="of Python code: a garbage collection may come at any step",
    )  # fmt: skip
    check = add("check", "try an old failing trace, and what is near it, on a mended scenario")
    check.add_argument("old", metavar="TRACE", help="the trace of the failure that was mended")
    check.add_argument("scenario", metavar="SCENARIO", help="the mended scenario")
    _explore(check, None)
    shrink = add("shrink", "make a failing trace as small as it can be")
    _trace(shrink)
    shrink.add_argument("-o", "--output", metavar="PATH", help="where to (TRACE.min.json)")
    shrink.add_argument(
        "--scenario", metavar="PATH", help="reduce the scenario too, and write it to this new file"
    )
    shrink.add_argument("--no-confirm", action="store_true", help="do not replay the result")
    _common(shrink)
    predict = add("predict", "tell what could have gone wrong near a passing trace, and try it")
    _trace(predict)
    predict.add_argument("--no-trace", action="store_true", help="keep no traces")
    _common(predict)
    analyze = add("analyze", "say what a trace shows: deadlocks, races, lost wake-ups, contention")
    _trace(analyze)
    _json(analyze)
    show = add("show", "print a trace without running it")
    _trace(show)
    _rows(show)
    show.add_argument("--around", type=_at_least(0), metavar="N", help="only the events near N")
    how = show.add_mutually_exclusive_group()
    _json(how)
    how.add_argument("--step", action="store_true", help="step through it, key by key")
    report = add("report", "write a trace as a page, as Markdown or for another tool")
    report.add_argument("trace", metavar="TRACE|COMPARISON", help="a file, .json or .json.gz")
    report.add_argument(
        "-o", "--output", metavar="FILE",
        help="where to: .html, .md, .json (Chrome trace, for Perfetto), .shiviz or .txt; "
        "- for standard output",
    )  # fmt: skip
    _choice(report, "--as", REPORTS, "the form (else by the ending of FILE)", dest="form")
    _pictured(report)
    attach = add("attach", "print what to paste into an issue: Markdown, the trace folded in")
    _trace(attach)
    _pictured(attach)
    _export(add("export", "write a scenario or trace as a plain Python program or test"))
    _compare(add("compare", "set the backends side by side: what can happen, and what it costs"))
    validate = add("validate", "check scenarios and tell all that is wrong with them")
    validate.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="a YAML or JSON file")
    add("schema", "print the JSON Schema of the scenario language, for editors")
    recover = add("recover", "save what is whole in a damaged trace")
    _trace(recover)
    recover.add_argument("-o", "--output", metavar="PATH", help="where to (TRACE.recovered.json)")
    _json(add("backends", "list what each backend can do on this machine"))
    return parser


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a YAML or JSON file")
    _choice(
        parser, "--backend", BACKENDS,
        "what runs it (threading; asyncio for Python code in coroutine functions)",
    )  # fmt: skip
    _choice(
        parser, "--strategy", run_names(),
        "who decides in which order: without, the operating system or the event loop (a free run; "
        "Python code is always under control, by random)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=_whole, metavar="N", help="makes a strategy repeatable (else it is drawn)"
    )
    parser.add_argument(
        "--runs", type=_at_least(1), metavar="N",
        help="run N times and count the outcomes; the first trace of each failure is kept",
    )  # fmt: skip
    traces = parser.add_mutually_exclusive_group()
    traces.add_argument(
        "--trace", metavar="PATH",
        help="where the trace goes; .json.gz compresses (a new file in traces/); with --runs, "
        "further kinds of failure go to PATH-2 and so on",
    )  # fmt: skip
    traces.add_argument("--no-trace", action="store_true", help="keep no trace")
    _choice(
        parser, "--clock", CLOCKS,
        "of a strategy's run: timers fire when nothing else can happen (virtual, the default) "
        "or at any time (adversarial)",
    )  # fmt: skip
    parser.add_argument(
        "--max-steps", type=_at_least(1), metavar="N", help="end a run after N events"
    )
    parser.add_argument(
        "--max-seconds", type=_seconds, metavar="S", help="end a run after S seconds"
    )
    _common(parser)


def _explore(parser: argparse.ArgumentParser, backend: str | None) -> None:
    default = backend or "the old trace's"
    _choice(parser, "--backend", BACKENDS, f"whose rules hold ({default})")
    _choice(
        parser, "--strategy", explore_names(), "how to search (auto: samplers, then exhaustively)",
        default="auto",
    )  # fmt: skip
    parser.add_argument(
        "--schedules", type=_at_least(1), metavar="N", help="try N schedules at most"
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="S",
        help="search for S seconds at most (60 where --schedules is not given)",
    )  # fmt: skip
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of samplers (0)")
    parser.add_argument(
        "--depth", type=_at_least(1), metavar="D", help="of pct: how many orderings a bug needs"
    )
    parser.add_argument(
        "--all", action="store_true", help="go on after a failure and list every distinct outcome"
    )
    parser.add_argument("--no-shrink", action="store_true", help="leave a failing schedule as is")
    parser.add_argument(
        "--no-confirm", action="store_true", help="do not replay a failure on the real backend"
    )
    _choice(
        parser, "--engine", ("simulated", "real"),
        "what runs the schedules (simulated; Python code always runs itself)",
    )  # fmt: skip
    parser.add_argument(
        "--first", nargs="+", metavar="TRACE", help="failing traces of earlier runs, tried first"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=_at_least(1), default=1, metavar="N",
        help="share the search among N processes (1)",
    )  # fmt: skip
    where.add_argument(
        "--dask", metavar="ADDRESS",
        help="share it among the workers of a Dask cluster, such as tcp://host:8786 "
        "(needs tracelock[dask], there too)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", metavar="FILE",
        help="keep what was found and what is left in FILE, and go on from it if it is there; "
        "--schedules then counts those before too; states cannot be kept",
    )  # fmt: skip
    parser.add_argument(
        "--prefix", metavar="TRACE:K",
        help="explore only schedules that begin with the first K events of TRACE",
    )  # fmt: skip
    traces = parser.add_mutually_exclusive_group()
    traces.add_argument(
        "--trace", metavar="PATH", help="where the failing trace goes (a new file in traces/)"
    )
    traces.add_argument("--no-trace", action="store_true", help="keep no trace")
    _choice(parser, "--clock", CLOCKS, "when timers fire: see run")
    parser.add_argument(
        "--max-steps", type=_at_least(1), metavar="N", help="end a schedule after N events (5,000)"
    )
    _common(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SCENARIO|TRACE", help="a scenario, or a trace to force")
    parser.add_argument(
        "--as", dest="target", choices=EXPORTS, required=True, metavar="KIND",
        help=f"what to write: {', '.join(EXPORTS)}",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="where to (standard output)")
    _choice(parser, "--backend", EXPORTS[:4], "of --as pytest: what the test runs on")
    parser.add_argument(
        "--allow-call", action="store_true",
        help="let 'call' steps run, where a trace has to be shrunk or replayed first",
    )  # fmt: skip


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a YAML or JSON file")
    parser.add_argument(
        "--backends", metavar="B,B,...", help=f"which ones (all here): {', '.join(EXPORTS[:4])}"
    )
    parser.add_argument(
        "--runs", type=_at_least(1), default=None, metavar="N",
        help="free runs on each backend (100), and timed runs of each kind (7)",
    )  # fmt: skip
    parser.add_argument(
        "--native", action="store_true",
        help="the costs alone, and how the plain programs end: no search, no recorder",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="S",
        help="for everything, about (60); what does not fit in is left out and said so",
    )  # fmt: skip
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH",
        help="another Python to time it on as well (a free-threaded build); may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--switch-interval", action="append", type=_seconds, default=[], metavar="S",
        help="also time threads with this sys.setswitchinterval (0.005); may be repeated",
    )  # fmt: skip
    parser.add_argument("--html", metavar="FILE", help="write the comparison as a page, too")
    parser.add_argument("--svg", metavar="FILE", help="write the picture of the costs alone, too")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the comparison as JSON, too")
    parser.add_argument(
        "--allow-call", action="store_true",
        help="let 'call' steps run the Python code that they name",
    )  # fmt: skip
    _json(parser)


def _replay(parser: argparse.ArgumentParser) -> None:
    _trace(parser)
    _choice(parser, "--backend", BACKENDS, "where to replay it (where it was recorded)")
    parser.add_argument("--bisect", action="store_true", help=_BISECT)
    _rows(parser)
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    _choice(parser, "--start-method", START_METHODS, "how multiprocessing starts its processes")
    parser.add_argument(
        "--allow-call", action="store_true",
        help="let 'call' steps, 'python' scenarios and traces of them run the Python code that "
        "they name",
    )  # fmt: skip
    _json(parser)


def _trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="a trace, .json or .json.gz")


def _pictured(parser: argparse.ArgumentParser) -> None:
    twins = parser.add_mutually_exclusive_group()
    twins.add_argument("--twin", metavar="TRACE", help="a run that passes, to be set beside it")
    twins.add_argument(
        "--find-twin", action="store_true", help="look for the nearest schedule that passes"
    )
    parser.add_argument(
        "--around", type=_at_least(0), metavar="N",
        help="show the part around event N (the failure)",
    )  # fmt: skip
    parser.add_argument(
        "--events", type=_at_least(1), metavar="N",
        help="show so many events at most (1,000; 100 in Markdown)",
    )  # fmt: skip
    parser.add_argument(
        "--sources", metavar="DIR", help="where the Python files of a trace of Python code lie (.)"
    )


def _rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help="print every event (else the first and last hundred)"
    )


def _json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )


def _choice(
    parser: argparse.ArgumentParser,
    name: str,
    allowed: tuple[str, ...],
    about: str,
    default: str | None = None,
    dest: str | None = None,
) -> None:
    parser.add_argument(
        name, choices=allowed, default=default, dest=dest or name.lstrip("-").replace("-", "_"),
        metavar=(dest or name).rpartition("-")[2].upper(),
        help=f"{about}: {', '.join(allowed)}",
    )  # fmt: skip


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _at_least(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        number = _whole(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return convert


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return number
