"""Where everything printed goes through: text or one JSON object on standard output, the rest on
standard error. A reader that went away (``| head``) ends the output, not the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from tracelock.cli.streams import discard_output
from tracelock.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from tracelock.report.terminal import Style


class Output:
    """The two streams of a command, as they are when it starts."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        # Either may be None: Python has no stream where the descriptor was closed.
        self._stdout: TextIO | None = stdout or sys.stdout
        self._stderr: TextIO | None = stderr or sys.stderr
        self._console: Console | None = None
        self._lines = self._stdout
        self._plain = not coloured(self._lines)

    @property
    def style(self) -> Style:
        """How wide and in which characters text may be."""
        from tracelock.report.terminal import Style

        return Style(width_of(self._stdout, self._stderr), speaks_unicode(self._stdout))

    def lines(self, lines: Iterable[Text | str]) -> None:
        """Print lines of text on standard output."""
        for line in lines:
            self.line(line)

    def line(self, line: Text | str = "") -> None:
        """Print one line on standard output, with nothing in it that a terminal obeys."""
        if isinstance(line, str):
            self._write(self._lines, harmless(line) + "\n")
            return
        plain = harmless(line.plain)
        if plain != line.plain:
            line = line.copy()
            line.plain = plain
        self._write(self._lines, plain + "\n" if self._plain else self._painted(line))

    def text(self, text: str) -> None:
        """Print a whole document on standard output as it is."""
        self._write(self._stdout, text)

    def say_beside(self) -> None:
        """A document of the command's goes to standard output: its lines go to standard error."""
        self._lines = self._stderr
        self._plain = not coloured(self._lines)

    def json(self, data: Any) -> None:
        """Print one JSON document on standard output: pure ASCII, on one line."""
        self._write(self._stdout, json_text(data) + "\n")

    def note(self, text: str) -> None:
        """Print on standard error, with nothing in it that a terminal obeys."""
        self._write(self._stderr, harmless(text) + "\n")

    def problem(self, text: str) -> None:
        """Print what is wrong on standard error, with nothing in it that a terminal obeys."""
        from tracelock.report.wording import clean_lines

        self.note(clean_lines(text))

    @property
    def stderr(self) -> TextIO | None:
        return self._stderr

    @property
    def unread(self) -> bool:
        """Whether nobody reads the lines any more."""
        return self._lines is None

    def flush(self) -> None:
        for stream in (self._stdout, self._stderr):
            self._write(stream, "", flush=True)

    def _painted(self, line: Text) -> str:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self._lines, force_terminal=True, highlight=False, markup=False, emoji=False
            )
        with self._console.capture() as captured:
            self._console.print(line, soft_wrap=True)
        return captured.get()

    def _write(self, stream: TextIO | None, text: str, flush: bool = False) -> None:
        if stream is None:
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            # what the encoding cannot show is shown by its number
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            if flush:
                stream.flush()
        except BrokenPipeError:
            self._forget(stream)
        except ValueError:  # closed elsewhere
            self._forget(stream)
        except OSError as error:
            self._forget(stream)
            if stream is not self._stderr:
                raise UsageError(f"cannot write to standard output: {error.strerror}") from error

    def _forget(self, stream: TextIO) -> None:
        """Write no more there; and let Python's own flush at exit find nothing to complain of."""
        if stream is self._stdout:
            self._stdout = None
        else:
            self._stderr = None
        if stream is self._lines:
            self._lines = None
        discard_output(stream)


def harmless(text: str) -> str:
    """``text`` as a terminal may be given it: what it would obey is shown as something unknown.

    The last gate, for what was not made visible before (by ``clean``): a character for each, so
    that colours and columns stay where they are."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def json_text(data: Any) -> str:
    """``data`` as JSON. Infinities, which JSON does not know, become texts."""
    try:
        return json.dumps(data, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and data - data != 0.0:
        return repr(data)
    return data


# --- terminals -------------------------------------------------------------------------------
def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def coloured(stream: TextIO | None) -> bool:
    """Whether to use colours: on a terminal that has them, unless NO_COLOR is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return is_terminal(stream) or bool(os.environ.get("FORCE_COLOR"))


def speaks_unicode(stream: TextIO | None) -> bool:
    """Whether the stream can carry more than ASCII."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("_", "-")
    return encoding.startswith("utf")


def width_of(*streams: TextIO | None) -> int:
    """The width of the terminal behind the first stream that has one; COLUMNS overrides it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return max(20, min(int(columns), 10_000))
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stream is not None and is_terminal(stream):
                width = os.get_terminal_size(stream.fileno()).columns
                if width > 0:
                    return max(20, width)
    return 100
