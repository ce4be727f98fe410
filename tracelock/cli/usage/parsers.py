"""The parsers of the command line: what they refuse, and how their help looks.

Imports nothing of substance, see ``tracelock.cli.main``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from tracelock.cli.usage.suggestions import did_you_mean

_HELP: Final = ("-h", "--help")


class Help(argparse.RawDescriptionHelpFormatter):
    """A text of one line is wrapped to the terminal, one of several lines stands as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action.choices, dict):  # commands: argparse takes them for shorter
            longest = max(map(len, action.choices)) + 4
            self._action_max_length = max(getattr(self, "_action_max_length", 0), longest)


class CommandParser(argparse.ArgumentParser):
    """No guessing of abbreviations: an option that is added later must change nothing.

    ``closing``: gives what stands at the end of the help, for a width in columns; ``known``: the
    names of all its options.
    """

    closing: Callable[[int], str] | None = None
    known: Sequence[str] = _HELP

    def __init__(self, *args: Any, **more: Any) -> None:
        more["allow_abbrev"] = False
        more.setdefault("formatter_class", Help)
        super().__init__(*args, **more)
        self.suggest_on_error = False  # of Python 3.14 and later: here it is done for all versions

    def format_help(self) -> str:
        if self.closing is not None:
            self.epilog = self.closing(help_width())
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        from tracelock.cli.output import harmless

        message = harmless(message)  # names of files may come from a pattern of the shell
        self.exit(2, f"{self.prog}: {message}\n(see {self.prog} --help)\n")

    def check_options(self, words: Sequence[str]) -> None:
        """Refuse what looks like an option and is none, before anything else is said of the line:
        what follows from a misspelt option would hide it."""
        words = words[: words.index("--")] if "--" in words else words
        if any(word in _HELP for word in words):
            return
        for word in words:
            if not word.startswith("-") or word == "-" or " " in word or _is_number(word):
                continue
            name = word.partition("=")[0]
            short = not word.startswith("--") and word[:2] in self.known
            if name not in self.known and not short:
                self.refuse_option(name)

    def refuse_option(self, name: str) -> NoReturn:
        """Say that there is no such option, and which one was probably meant."""
        known = [one for one in self.known if one.startswith("--")]
        self.error(f"there is no option {name}{did_you_mean(name, known)}")


class CommandLine(CommandParser):
    """The parser of the whole line. ``welcome``: what is said where the line is empty, for a width
    in columns; ``commands``: the parsers of the commands by name."""

    welcome: Callable[[int], str]
    commands: dict[str, CommandParser]

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        if not words:
            self.exit(2, self.welcome(help_width()))
        name = words[0]
        if name.startswith("-"):
            self._check_before(name)
            return super().parse_args(words, namespace)
        command = self.commands.get(name)
        if command is None:
            there = "" if (hint := did_you_mean(name, self.commands)) else _listed(self.commands)
            self.error(f"there is no command {name}{hint}{there}")
        command.check_options(words[1:])
        options, left = self.parse_known_args(words, namespace)
        if left:
            command.error(f"unexpected argument{'s' if len(left) > 1 else ''}: {' '.join(left)}")
        return options

    def _check_before(self, word: str) -> None:
        """Refuse an option that stands before the command, and belongs after it or nowhere."""
        name = word.partition("=")[0]
        if name in self.known:
            return
        if any(name in one.known for one in self.commands.values()):
            self.error(f"{name} stands after the command: tracelock COMMAND {name}")
        self.refuse_option(name)


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    """What converts an argument that has to be one of these words: it refuses all others, with the
    one that was probably meant."""

    def convert(text: str) -> str:
        if text in allowed:
            return text
        hint = did_you_mean(text, allowed)
        raise argparse.ArgumentTypeError(
            f"invalid choice: {text!r}{hint} (choose from {', '.join(allowed)})"
        )

    return convert


def help_width() -> int:
    """Columns of a help page; COLUMNS in the environment says otherwise."""
    from shutil import get_terminal_size

    return max(20, get_terminal_size().columns - 2)


def _listed(names: Sequence[str] | dict[str, CommandParser]) -> str:
    return f" (there are {', '.join(names)})"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
