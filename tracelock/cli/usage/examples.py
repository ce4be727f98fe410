"""One table of examples: the ends of the help pages are made from it, and what ``tracelock`` alone
says. A test runs them in an empty folder, those of a command one after the other.

Imports nothing of substance, see ``tracelock.cli.main``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple


class CommandExample(NamedTuple):
    """A command line, and what it is good for. ``slow``: it takes a minute or more."""

    line: str
    about: str
    slow: bool = False


_E: Final = CommandExample
#: What most people have is no scenario but a test: this is said wherever a scenario is asked for.
_OWN_CODE: Final = (
    "Your own code needs no scenario: `pytest --tracelock` explores the tests that you have, and "
    "tracelock.explore(workers=[...]) any functions."
)

EXAMPLES: Final[dict[str, tuple[CommandExample, ...]]] = {
    "run": (
        _E("tracelock run @unlocked_counter", "one run on threads, as they come"),
        _E("tracelock run @unlocked_counter --strategy random --runs 200",
           "how often does it go wrong?"),
        _E("tracelock run @pi --backend multiprocessing --trace pi.json.gz",
           "on processes, the trace compressed"),
    ),
    "replay": (
        _E("tracelock explore @unlocked_counter --trace lost.json",
           "a failure and its trace, then:"),
        _E("tracelock replay lost.json", "the same failure, every time"),
        _E("tracelock replay lost.json --backend asyncio",
           "could tasks lose that update, too? (they cannot: status 3)"),
        _E("tracelock replay lost.json --bisect",
           "what to give to 'git bisect run'"),
    ),
    "explore": (
        _E("tracelock explore @unlocked_counter",
           "find a lost update, make it small, and confirm it on threads"),
        _E("tracelock explore @unlocked_counter --backend asyncio",
           "can the same go wrong with tasks?"),
        _E("tracelock explore @philosophers --all --no-trace",
           "list every distinct outcome"),
        _E("tracelock explore @peterson --strategy states",
           "go through states: right for spin loops"),
    ),
    "check": (
        _E("tracelock explore @unlocked_counter --trace lost.json",
           "a failure and its trace; then, when the scenario was mended:"),
        _E("tracelock check lost.json @unlocked_counter",
           "is it mended? (not yet: status 1)"),
        _E("tracelock check lost.json @unlocked_counter --json",
           "the same for a script"),
    ),
    "shrink": (
        _E("tracelock explore @philosophers --no-shrink --trace long.json",
           "some failure, as it was found, then:"),
        _E("tracelock shrink long.json -o small.json", "the fewest switches that fail so"),
        _E("tracelock shrink long.json --scenario small.yaml",
           "leave away what the failure does not need of the scenario, too"),
    ),
    "predict": (
        _E("tracelock run @philosophers --strategy round-robin --trace round.json",
           "some run that passes, then:"),
        _E("tracelock predict round.json", "what could have gone wrong near it? each one is tried"),
    ),
    "analyze": (
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a failure and its trace, then:"),
        _E("tracelock analyze deadlock.json", "why it went wrong"),
        _E("tracelock analyze deadlock.json --all", "all that was seen beside it"),
        _E("tracelock analyze deadlock.json --json", "the same for a script"),
    ),
    "show": (
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a failure and its trace, then:"),
        _E("tracelock show deadlock.json", "every step; nothing is run"),
        _E("tracelock show deadlock.json --around 1", "only those near event 1"),
    ),
    "report": (
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a failure and its trace, then:"),
        _E("tracelock report deadlock.json -o deadlock.html",
           "a page to step through, in one file"),
        _E("tracelock report deadlock.json --find-twin -o twin.html",
           "beside the nearest run that passes"),
        _E("tracelock report deadlock.json -o - --as markdown",
           "Markdown, on standard output"),
    ),
    "attach": (
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a failure and its trace, then:"),
        _E("tracelock attach deadlock.json > issue.md", "what to paste into an issue"),
        _E("tracelock attach deadlock.json --find-twin",
           "beside the nearest run that passes"),
    ),
    "export": (
        _E("tracelock export @locked_counter --as threading",
           "the plain program that a scenario stands for"),
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a failure and its trace, then:"),
        _E("tracelock export deadlock.json --as threading -o deadlock.py",
           "a program that deadlocks every time, for somebody without tracelock"),
        _E("tracelock export deadlock.json --as pytest -o test_deadlock.py",
           "a regression test"),
    ),
    "compare": (
        _E("tracelock compare @unlocked_counter --seconds 5",
           "threads, processes and tasks side by side"),
        _E("tracelock compare @unlocked_counter --html comparison.html",
           "with time for exact figures, and as a page", slow=True),
    ),
    "audit": (
        _E("tracelock audit queue:LifoQueue --seconds 10",
           "each pair of methods beside each other, in every interleaving"),
        _E("tracelock audit collections:OrderedDict --methods popitem,clear,len --seconds 5 --json",
           "some methods, for a script"),
        _E("tracelock audit asyncio:Semaphore --model semaphore --seconds 10",
           "tasks call it, each is cancelled at each await, and a model says what is right",
           slow=True),
    ),
    "teeth": (
        _E("tracelock teeth @locked_counter",
           "does what is checked notice it when the lock is missing?"),
        _E("tracelock teeth @readers_writers --change removed --json",
           "without each lock, one at a time, for a script"),
    ),
    "atomic": (
        _E("tracelock atomic 'd[k] += 1'", "can another thread come into the middle of it?"),
        _E("tracelock atomic 'self.n += 1' --with 'self.n = 0'", "when the other thread does that"),
        _E("tracelock atomic 'total += await fetch()'", "among the tasks of one event loop"),
        _E("tracelock atomic --list", "a table of common operations"),
    ),
    "campaign": (
        _E("tracelock scenarios locked_counter > counter.yaml",
           "something to search, then:"),
        _E("tracelock campaign . --seconds 60", "all scenarios of this folder, in turns"),
        _E("tracelock campaign . --seconds 60 --json",
           "the same for a script: what it found is known now"),
        _E("tracelock campaign tests/races --hours 8 --jobs 2 --allow-call",
           "through the night, programs in Python too", slow=True),
    ),
    "validate": (
        _E("tracelock validate @pi @aba", "all mistakes of all files, with their lines"),
        _E("tracelock validate --json @pi", "the same for a script or an editor"),
    ),
    "tour": (
        _E("tracelock tour", "all of it, a key press a concept", slow=True),
        _E("tracelock tour --list", "what there is"),
        _E("tracelock tour race", "one concept"),
    ),
    "scenarios": (
        _E("tracelock scenarios", "what there is; each may be used as @NAME"),
        _E("tracelock scenarios deadlock_ab_ba > deadlock.yaml", "one of your own to begin with"),
    ),
    "schema": (
        _E("tracelock schema > tracelock-scenario.schema.json", "for the folder of your scenarios"),
        _E("tracelock scenarios pi | head -n 1",
           "the first line of each, by which an editor finds it"),
    ),
    "recover": (
        _E("tracelock explore @deadlock_ab_ba --trace deadlock.json",
           "a trace, then one that was cut off:"),
        _E("head -c 1500 deadlock.json > cut.json", "a trace that was cut off"),
        _E("tracelock recover cut.json -o whole.json", "what is whole in it"),
    ),
    "completion": (
        _E("source <(tracelock completion bash)", "bash: in this shell, or in ~/.bashrc"),
        _E("tracelock completion zsh > ~/.zfunc/_tracelock",
           "zsh, where ~/.zfunc is in fpath before compinit is called"),
        _E("tracelock completion fish > ~/.config/fish/completions/tracelock.fish", "fish"),
    ),
    "backends": (
        _E("tracelock backends", "what works here, and what of Python is under control"),
        _E("tracelock backends --json", "the same for a script"),
    ),
}  # fmt: skip
#: What stands at the end of a help page besides the examples.
_MORE: Final = {"run": _OWN_CODE, "explore": _OWN_CODE}

_WHAT: Final = (
    "tracelock makes concurrency bugs reproducible: it finds an interleaving that goes wrong, and "
    "replays it, every time."
)
#: Where to begin, with real code first.
_BEGIN: Final = (
    ("Your own tests, as they are (real threads, processes and tasks):", (
        _E("pytest --tracelock", "explore every test in which something runs concurrently"),
        _E("tracelock replay .tracelock/TRACE.json --allow-call",
           "fail the same way again; the summary of pytest has the line with its names"),
    )),
    ("A statement of Python:", EXAMPLES["atomic"][:1]),
    ("A class:", EXAMPLES["audit"][:1]),
    ("A small model of the problem, a scenario in YAML (@NAME: one that comes with tracelock):", (
        EXAMPLES["explore"][0],
        _E("tracelock compare @unlocked_counter",
           "threads, processes and tasks side by side"),
    )),
    ("To learn what can go wrong:", (
        _E("tracelock tour", "a race, locks, deadlock and its cures, ..., each shown by a run"),
    )),
)  # fmt: skip
_ON: Final = (
    "`tracelock --help` lists all commands, `tracelock COMMAND --help` has examples of each, and "
    "`tracelock completion SHELL` makes bash, zsh or fish complete them. For one test instead of "
    "all: @pytest.mark.tracelock. docs/ has the rest."
)
_STATUSES: Final = (
    "as it should be (run: passed; replay: ended as the trace says)",
    "a failure was found (run), or the replay ended differently",
    "bad usage or bad input: nothing was run or written",
    "the replay diverged, or the trace is impossible on that backend",
    "internal error (please report it)",
    "unfinished: a limit was reached or the run was interrupted; nothing is claimed",
)


def closing(command: str) -> Callable[[int], str]:
    """What stands at the end of a command's help."""

    def text(width: int) -> str:
        lines = ["examples:", *_listed(EXAMPLES[command], width)]
        if command in _MORE:
            lines += ["", *_wrapped(_MORE[command], width)]
        return "\n".join(lines) + "\n"

    return text


def statuses(width: int) -> str:
    """What stands at the end of the help of ``tracelock`` itself."""
    lines = ["exit status:"]
    for number, meaning in enumerate(_STATUSES):
        lines += _wrapped(meaning, width, f"  {number}  ", "     ")
    first = [block[1][0] for block in _BEGIN]
    return "\n".join([*lines, "", "examples:", *_listed(first, width)]) + "\n"


def welcome(width: int) -> str:
    """What ``tracelock`` says where it is told nothing."""
    what = (
        "tracelock makes concurrency bugs reproducible: it finds an interleaving that goes wrong, "
    )
    lines = _wrapped(what + "and replays it, every time.", width)
    for title, examples in _BEGIN:
        lines += ["", *_wrapped(title, width), *_listed(examples, width)]
    return "\n".join([*lines, "", *_wrapped(_ON, width)]) + "\n"


def _listed(examples: Iterable[CommandExample], width: int) -> Iterator[str]:
    """Each command on a line of its own, however long, so that it can be copied; what it is good
    for below it."""
    for line, about, _ in examples:
        yield f"  {line}"
        yield from _wrapped(about, width, "      ", "      ")


def _wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    from textwrap import wrap

    return wrap(
        text, max(width, 20), initial_indent=first, subsequent_indent=then,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
