"""What may stand on the command line. Imports nothing of substance, see ``main``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tracelock import __version__
from tracelock.cli.asking.rows import teeth_rows
from tracelock.cli.usage.examples import closing, statuses, welcome
from tracelock.cli.usage.parsers import CommandLine, CommandParser, one_of
from tracelock.cli.usage.values import at_least, named, positive, whole
from tracelock.schedulers.strategies import explore_names, run_names

# The same as in ``tracelock.session``, which would take too long to import for a help page; a
# test holds the two together.
BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
CLOCKS: Final = ("virtual", "adversarial")
EXPORTS: Final = ("threading", "multiprocessing", "asyncio", "trio", "python", "pytest")
START_METHODS: Final = ("fork", "spawn", "forkserver")
ISOLATION: Final = ("auto", "always", "never")
CI_FORMATS: Final = ("github", "sarif", "junit")
SHELLS: Final = ("bash", "zsh", "fish")
REPORTS: Final = ("html", "markdown", "chrome", "shiviz", "text")

_ABOUT: Final = "Make concurrency bugs reproducible: run, record and replay interleavings."


#: What a command does with a file that an argument names, see ``inputs`` and ``outputs``. These are
#: read: a scenario, a trace, the one or the other, a trace or a comparison.
READ_SCENARIO, READ_TRACE = "read a scenario", "read a trace"
READ_SOURCE, READ_COMPARISON = "read a source of a program", "read a trace or comparison"
READS: Final = (READ_SCENARIO, READ_TRACE, READ_SOURCE, READ_COMPARISON)
#: The others are written. A trace makes its folder; a new file must not be there yet; a checkpoint
#: is read where it is there.
WRITE, TRACE, NEW, CHECKPOINT = "write", "trace", "new", "checkpoint"


class Option(NamedTuple):
    """One argument of a command: its names, what ``add_argument`` gets besides them, and what is
    done with the file that it names, if it does."""

    names: tuple[str, ...]
    how: dict[str, Any]
    file: str = ""

    def add_to(self, parser: argparse._ActionsContainer) -> dict[str, str]:
        action = parser.add_argument(*self.names, **self.how)
        return {action.dest: self.file} if self.file else {}


class Either(tuple[Option, ...]):
    """Options of which one may be given."""

    def add_to(self, parser: argparse._ActionsContainer) -> dict[str, str]:
        group = parser.add_mutually_exclusive_group()
        return {dest: file for option in self for dest, file in option.add_to(group).items()}


def each(rows: Iterable[Option | Either]) -> list[Option]:
    """All options of a command, those of which one may be given too."""
    return [one for row in rows for one in (row if isinstance(row, Either) else (row,))]


def _flag(name: str, about: str) -> Option:
    return Option((name,), {"action": "store_true", "help": about})


def _value(names: str, metavar: str, about: str, file: str = "", **how: Any) -> Option:
    """An argument with a value; ``names``: its names with a space between them."""
    return Option(tuple(names.split()), {"metavar": metavar, "help": about, **how}, file)


def _number(name: str, about: str, least: int = 1, **how: Any) -> Option:
    return _value(name, "N", about, **{"type": at_least(least), **how})


def _choice(name: str, allowed: tuple[str, ...], about: str, **how: Any) -> Option:
    word = how.get("dest", name).rpartition("-")[2].upper()
    about = f"{about}: {', '.join(allowed)}"
    return _value(name, how.pop("metavar", word), about, **allowed_only(allowed), **how)


def allowed_only(words: tuple[str, ...]) -> dict[str, Any]:
    """What ``add_argument`` gets for an argument that is one of these words."""
    return {"choices": words, "type": one_of(words)}


#: What a scenario may be.
_FILE: Final = "a YAML or JSON file, or @NAME of one that comes with tracelock"
_SCENARIO: Final = _value("scenario", "SCENARIO", _FILE, READ_SCENARIO)
_TRACE: Final = _value("trace", "TRACE", "a trace, .json or .json.gz", READ_TRACE)
_NO_TRACE: Final = _flag("--no-trace", "keep no trace")
_EVERY_ROW: Final = _flag("--all", "print every event (else the first and last hundred)")
_ALL_EVENTS: Final = _flag(
    "--all-events",
    "of Python code, show every event and not only the source lines that matter",
)
_JSON: Final = _flag("--json", "print one JSON object and nothing else")
#: Of what runs schedules of Python code.
_ISOLATION: Final = _choice(
    "--isolation", ISOLATION,
    "whether schedules of Python code run in forked processes, of which each may die (where they "
    "have to)", default="auto",
)  # fmt: skip
_INTERPRETER: Final = _value(
    "--interpreter", "WHICH",
    "between which accesses of threads of Python code another may come in: any (any two), this "
    "(where this interpreter lets it), gil-3.12 and the like (where that one does, with its GIL)",
    default="",
)  # fmt: skip
#: What all commands that run something have; the second with the form of what they print.
_RUNNING: Final = (
    _choice("--start-method", START_METHODS, "how multiprocessing starts its processes"),
    _flag(
        "--allow-call",
        "let 'call' steps, 'python' scenarios and traces of them run the Python code that they "
        "name",
    ),
)
_COMMON: Final = (*_RUNNING, _JSON)
#: What a page of a trace is to show.
_PICTURED: Final = (
    Either((
        _value("--twin", "TRACE", "a run that passes, to be set beside it", READ_TRACE),
        _flag("--find-twin", "look for the nearest schedule that passes"),
    )),
    _flag("--allow-call",
          "let --find-twin run the Python code that the trace names, if it is of such"),
    _number("--around", "show the part around event N (the failure)", 0),
    _number("--events", "show so many events at most (1,000; 100 in Markdown)"),
    _value("--sources", "DIR", "where the Python files of a trace of Python code lie (.)"),
    _value("--redact", "NAME", "keep values out: of variables, attributes, arguments and keys that "
           "are called NAME (may be given several times)", action="append"),
)  # fmt: skip


def _search(backend: str) -> tuple[Option | Either, ...]:
    """The options of a search on the rules of ``backend`` unless told otherwise."""
    return (
        _choice("--backend", BACKENDS, f"whose rules hold ({backend})"),
        _choice("--strategy", explore_names(), "how to search (auto: samplers, then exhaustively)",
                default="auto"),
        _number("--schedules", "try N schedules at most"),
        _value("--seconds", "S", "search for S seconds at most (60 where --schedules is not given)",
               type=positive),
        _number("--seed", "of samplers (0)", type=whole, default=0),
        _value("--depth", "D", "of pct: how many orderings a bug needs", type=at_least(1)),
        _flag("--all", "go on after a failure and list every distinct outcome"),
        _ALL_EVENTS,
        _flag("--no-shrink", "leave a failing schedule as is"),
        _flag("--no-confirm", "do not replay a failure on the real backend"),
        _choice("--engine", ("simulated", "real"),
                "what runs the schedules (simulated; Python code always runs itself)"),
        _value("--first", "TRACE", "failing traces of earlier runs, tried first", READ_TRACE,
               nargs="+"),
        Either((
            _number("--jobs", "share the search among N processes (1)", default=1),
            _value("--dask", "ADDRESS",
                   "share it among the workers of a Dask cluster, such as tcp://host:8786 "
                   "(needs tracelock[dask], there too)"),
        )),
        _value("--checkpoint", "FILE",
               "keep what was found and what is left in FILE, and go on from it if it is there; "
               "--schedules then counts those before too; states cannot be kept", CHECKPOINT),
        _value("--prefix", "TRACE:K",
               "explore only schedules that begin with the first K events of TRACE"),
        Either((
            _value("--trace", "PATH",
                   "where the failing trace goes, - for standard output (a new file in "
                   ".tracelock/)",
                   TRACE),
            _NO_TRACE,
        )),
        _choice("--clock", CLOCKS, "when timers fire: see run"),
        _number("--max-steps", "end a schedule after N events (5,000)"),
        _ISOLATION, _INTERPRETER, *_RUNNING,
        Either((
            _choice("--output-format", CI_FORMATS,
                    "print it for a build server, and nothing else", metavar="FORM"),
            _JSON,
        )),
    )  # fmt: skip


def all_commands() -> dict[str, tuple[str, tuple[Option | Either, ...]]]:
    """Each command: what it does, and its arguments."""
    return {
        "run": ("run a scenario, once or often, and keep the trace of a failure", (
            _SCENARIO,
            _choice("--backend", BACKENDS,
                    "what runs it (threading; asyncio for Python code in coroutine functions)"),
            _choice("--strategy", run_names(),
                    "who decides in which order: without, the operating system or the event loop "
                    "(a free run; Python code is always under control, by random)"),
            _number("--seed", "makes a strategy repeatable (else it is drawn)", type=whole),
            _number("--runs",
                    "run N times and count the outcomes; the first trace of each failure is kept"),
            Either((
                _value("--trace", "PATH",
                       "where the trace goes; .json.gz compresses, - is standard output (that of a "
                       "run that fails: a new file in .tracelock/); with --runs, further kinds of "
                       "failure go to PATH-2 and so on",
                       TRACE),
                _NO_TRACE,
            )),
            _choice("--clock", CLOCKS,
                    "of a strategy's run: timers fire when nothing else can happen (virtual, the "
                    "default) or at any time (adversarial)"),
            _number("--max-steps", "end a run after N events"),
            _value("--max-seconds", "S", "end a run after S seconds", type=positive),
            _ALL_EVENTS, _ISOLATION, *_COMMON,
        )),
        "replay": ("execute a trace again, event by event, or a schedule from its token", (
            _value("trace", "TRACE|TEST",
                   "a trace, .json or .json.gz; with --token the test (as pytest names it) or the "
                   "scenario that the token is of", READ_TRACE),
            _value("--token", "TOKEN", "tl1-...: a failing schedule as it was printed"),
            _choice("--backend", BACKENDS, "where to replay it (where it was recorded)"),
            _flag("--bisect",
                  "for 'git bisect run': 1 the recorded failure happens, 0 it does not, 125 "
                  "neither"),
            Either((
                _flag("--pdb",
                      "of Python code: stop in your own frames, and go on and back from there"),
                _value("--dap", "PORT",
                       "the same for an editor: speak the Debug Adapter Protocol on this port of "
                       "127.0.0.1 (0: a free one)", type=at_least(0)),
            )),
            _value("--at", "PLACE",
                   "where --pdb and --dap stop first: the number of an event, FILE:LINE, start, "
                   "failure (the default where there is one) or breakpoint (a call of it)"),
            _EVERY_ROW, _ALL_EVENTS, _ISOLATION, *_COMMON,
        )),
        "explore": ("search the schedules of a scenario for one that goes wrong", (
            _SCENARIO, *_search("threading"),
            _number("--cancellations",
                    "of Python code: how many awaits of a schedule may be cancelled", 0),
            _value("--cancellable", "WORKER",
                   "of Python code: cancel awaits of this worker alone (may be repeated)",
                   action="append"),
            _number("--faults", "of Python code: how many faults of the network may come in", 0),
            _value("--fault-kinds", "KIND,...",
                   "of Python code: which ones, as 'reset,delay' (all)", type=named),
            _flag("--gc", "of Python code: a garbage collection may come at any step"),
            _flag("--crash-consistency",
                  "of Python code: the machine may crash, which loses what was not synced"),
            _flag("--forecast",
                  "of threads of Python code: list what passes on this interpreter and fails "
                  "without its GIL"),
            _value("--instrument", "MODULE,...",
                   "of Python code: modules to look into besides your own; 'only' before them: no "
                   "others; 'all': every module in Python that the workers execute",
                   type=named),
        )),
        "check": ("try an old failing trace, and what is near it, on a mended scenario", (
            _value("old", "TRACE", "the trace of the failure that was mended", READ_TRACE),
            _value("scenario", "SCENARIO", "the mended scenario, a file or @NAME", READ_SCENARIO),
            *_search("the old trace's"),
        )),
        "shrink": ("make a failing trace as small as it can be", (
            _TRACE,
            _value("-o --output", "PATH", "where to (TRACE.min.json)", TRACE),
            _value("--scenario", "PATH", "reduce the scenario too, and write it to this new file",
                   NEW),
            _flag("--no-confirm", "do not replay the result"),
            _ALL_EVENTS, _ISOLATION, *_COMMON,
        )),
        "predict": ("tell what could have gone wrong near a passing trace, and try it", (
            _TRACE, _flag("--no-trace", "keep no traces"), *_COMMON,
        )),
        "analyze": ("say what a trace shows: deadlocks, races, lost wake-ups, contention", (
            _TRACE, _flag("--all", "tell every finding in full, not only the cause of the failure"),
            _JSON,
        )),
        "show": ("print a trace without running it", (
            _TRACE, _EVERY_ROW, _ALL_EVENTS,
            _number("--around", "only the events near N", 0),
            Either((_JSON, _flag("--step", "step through it, key by key"))),
        )),
        "report": ("write a trace as a page, as Markdown or for another tool", (
            _value("trace", "TRACE|COMPARISON", "a file, .json or .json.gz", READ_COMPARISON),
            _value("-o --output", "FILE",
                   "where to: .html, .md, .json (Chrome trace, for Perfetto), .shiviz or .txt; "
                   "- for standard output", WRITE),
            _choice("--as", REPORTS, "the form (else by the ending of FILE)", dest="form"),
            *_PICTURED,
        )),
        "attach": ("print what to paste into an issue: Markdown, the trace folded in", (
            _TRACE, *_PICTURED,
        )),
        "export": ("write a scenario or trace as a plain Python program or test", (
            _value("source", "SCENARIO|TRACE", "a scenario (a file or @NAME), or a trace to force",
                   READ_SOURCE),
            _choice("--as", EXPORTS, "what to write", metavar="KIND", dest="target", required=True),
            _value("-o --output", "FILE", "where to (standard output)", WRITE),
            _choice("--backend", EXPORTS[:4], "of --as pytest: what the test runs on"),
            _flag("--allow-call",
                  "let 'call' steps run, where a trace has to be shrunk or replayed first"),
        )),
        "compare": ("set the backends side by side: what can happen, and what it costs", (
            _SCENARIO,
            _value("--backends", "B,B,...", f"which ones (all here): {', '.join(EXPORTS[:4])}"),
            _number("--runs", "free runs on each backend (100), and timed runs of each kind (7)"),
            _flag("--native",
                  "the costs alone, and how the plain programs end: no search, no recorder"),
            _value("--seconds", "S",
                   "for everything, about (60); what does not fit in is left out and said so",
                   type=positive, default=60.0),
            _value("--python", "PATH",
                   "another Python to time it on as well (a free-threaded build); may be repeated",
                   action="append", default=[]),
            _value("--switch-interval", "S",
                   "also time threads with this sys.setswitchinterval (0.005); may be repeated",
                   action="append", type=positive, default=[]),
            _value("--html", "FILE", "write the comparison as a page, too", WRITE),
            _value("--svg", "FILE", "write the picture of the costs alone, too", WRITE),
            _value("-o --output", "FILE", "write the comparison as JSON, too", WRITE),
            _flag("--allow-call", "let 'call' steps run the Python code that they name"),
            _JSON,
        )),
        "audit": ("say whether a class is thread-safe: its methods beside each other", (
            _value("subject", "MODULE:CLASS",
                   "the class, such as queue:Queue; it is imported and its methods are called"),
            _value("--init", "EXPR", "how one is made, with the names of the module: 'LRU(2)'"),
            _value("--methods", "A,B,...", "those to look at (all public ones)", type=named),
            _value("--before", "A,B,...", "with --methods: others to reach a state to begin in by",
                   type=named, default=[]),
            _flag("--async", "by tasks of asyncio (so it is where methods are coroutines)"),
            _choice("--backend", ("threading", "asyncio", "trio"), "who calls its methods"),
            _number("--calls", "of each worker in longer clients (2)", default=2),
            _number("--workers", "threads of longer clients, 2 or 3 (2)", 2, default=2),
            _value("--contract", "[METHOD=]WORD",
                   "what is promised, of all methods or one: linearizable, no-crash, "
                   "weak-iteration, dirty-read, rendezvous, cancels, loses, unsafe (repeated)",
                   action="append", default=[]),
            _value("--ignore", "FIELD", "do not compare this field of results; may be repeated",
                   action="append", default=[]),
            _value("--strategy", "NAME=EXPR", "values, a list; also METHOD.NAME or METHOD.*=EXPR",
                   action="append", default=[]),
            _value("--model", "NAME", "judge it by a model: queue, lru(2), mutex, ... (by itself)"),
            _value("--invariant", "EXPR", "of the object 'it': it is asked in the end, too"),
            _value("--instrument", "MODULE,...", "modules to look into, besides that of the class",
                   type=named, default=[]),
            _value("--seconds", "S", "for all of it (60)", type=positive, default=60.0),
            _number("--schedules", "of each client at most (2,000)", default=2_000),
            _number("--seed", "of longer clients, which are drawn (0)", type=whole, default=0),
            _INTERPRETER,
            _value("--html", "FILE", "write the matrix as a page, too", WRITE),
            _value("--markdown", "FILE", "write it as Markdown, for documentation, too", WRITE),
            _flag("--no-trace", "write no programs and traces of what went wrong"),
            _JSON,
        )),
        "teeth": ("say which locks a test would not miss: each is changed, and the test searched", (
            *teeth_rows(_value, _flag, _number), _INTERPRETER, _NO_TRACE, _JSON,
        )),
        "atomic": ("say whether another thread can come into the middle of a statement", (
            _value("statement", "STATEMENT",
                   "such as 'd[k] += 1', or a function as module:function", nargs="?"),
            _value("--with", "STATEMENT", "what the other thread runs, or a function (the same)",
                   dest="together"),
            _value("--setup", "CODE", "makes what the names of the statement stand for",
                   default=""),
            _value("--python", "PATH", "another CPython to ask as well; may be repeated",
                   action="append", default=[]),
            _number("--stress", "also run it for real, N times on each of two threads"),
            _flag("--list", "print the table of common operations, each derived and run for real"),
            _NO_TRACE, _JSON,
        )),
        "campaign": ("search many scenarios and programs in turns, for hours", (
            _value("folder", "DIR", "with scenarios, and .py files that have 'workers'"),
            Either((
                _value("--hours", "H", "go on for H hours", type=positive),
                _value("--seconds", "S", "or for S seconds (60)", type=positive),
            )),
            _value("--turn", "S", "seconds of one turn (10, or less where there is little time)",
                   type=positive),
            Either((
                _number("--jobs", "take turns in N processes at a time (1)", default=1),
                _value("--dask", "ADDRESS",
                       "take them on the workers of a Dask cluster (needs tracelock[dask])"),
            )),
            _value("--keep", "DIR",
                   "where failures, corpora and what else is known stay (.tracelock/campaign in "
                   "the folder)"),
            _ISOLATION,
            _flag("--allow-call",
                  "search Python code too: .py files, and scenarios that name some, are imported "
                  "and run"),
            _JSON,
        )),
        "validate": ("check scenarios and tell all that is wrong with them", (
            _value("scenarios", "SCENARIO", _FILE, READ_SCENARIO, nargs="+"), _JSON,
        )),
        "tour": ("learn what can go wrong, one concept after the other, each shown by a run", (
            _value("name", "NAME", "of one concept, or its number", nargs="?"),
            _flag("--list", "list the concepts"),
        )),
        "scenarios": ("list the scenarios that come with tracelock, or print one", (
            _value("name", "NAME", "of the one to print", nargs="?"), _JSON,
        )),
        "schema": ("print the JSON Schema of the scenario language, for editors", ()),
        "recover": ("save what is whole in a damaged trace", (
            _TRACE, _value("-o --output", "PATH", "where to (TRACE.recovered.json)", TRACE),
        )),
        "completion": ("print what makes a shell complete tracelock's command lines", (
            Option(("shell",), {
                "metavar": "SHELL", "help": f"one of {', '.join(SHELLS)}", **allowed_only(SHELLS)
            }),
        )),
        "backends": ("list what each backend can do on this machine", (_JSON,)),
    }  # fmt: skip


def build_parser() -> CommandLine:
    """The parser of all commands; ``command`` in its result names the one chosen."""
    parser = CommandLine("tracelock", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"tracelock {__version__}")
    parser.known = ("-h", "--help", "--version")
    parser.closing, parser.welcome = statuses, welcome
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    parser.commands = {}
    for name, (about, options) in all_commands().items():
        description = about[0].upper() + about[1:] + "."
        command = commands.add_parser(name, help=about, description=description)
        files: dict[str, str] = {}
        known = ["-h", "--help"]
        for option in options:
            files |= option.add_to(command)
            for one in option if isinstance(option, Either) else (option,):
                known += [word for word in one.names if word.startswith("-")]
        command.set_defaults(files=files)
        command.known = known
        command.closing = closing(name)
        parser.commands[name] = command
    return parser
