"""A trace and its sources without the values of what has certain names."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.report.code import syntax_tree
from tracelock.report.redaction.literals import literals, parameters
from tracelock.report.redaction.scrubbing import Secrets
from tracelock.trace import MISSING, Events, Trace
from tracelock.trace.model import NAMES

__all__ = ["HOME", "REDACTED", "Redacted", "redacted", "without_homes"]

#: In the header of a trace of which values are kept out: of what names.
REDACTED: Final = "redacted"
_WORD: Final = re.compile(r"\w+")
#: Keys of a step of a scenario that hold a value for what another key names.
_VALUES: Final = ("value", "expect")
#: Operations whose value is that of what they name.
_DATA: Final = frozenset(
    {"read", "write", "compare_exchange", "exchange", "fetch_add", "put", "get", "atomic", "call"}
)
#: How the path of a home folder begins, which has the name of a user in it.
HOME: Final = re.compile(
    r"(?<![\w.-])(?:/home/|/Users/|/var/home/)[^/\s'\":]+|/root(?=/)|[A-Za-z]:\\{1,2}Users\\{1,2}[^\\\s'\":]+"
)


@dataclass(frozen=True, slots=True)
class Redacted:
    """``unused``: names that nothing in the trace or its sources has."""

    traces: list[Trace]
    sources: dict[str, str]
    unused: list[str]


def redacted(traces: Sequence[Trace], names: Iterable[str], sources: Mapping[str, str]) -> Redacted:
    """Traces of one program, with the stable names, without the values of variables, attributes,
    arguments and keys that are called one of ``names``, wherever else these values stand in them;
    and the sources without the constants that such a thing is given. Raises UsageError for a name
    that cannot be one."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if not name.isidentifier():
            raise UsageError(
                f"{name!r} is no name: --redact takes that of a variable, attribute or argument, "
                "as in --redact password"
            )
    if not wanted:
        return Redacted(list(traces), dict(sources), [])
    redactor = _Redactor(traces, frozenset(wanted), sources)
    return redactor.redacted(wanted)


def without_homes(trace: Trace) -> Trace:
    """The trace without the names of users in the paths of their home folders, which values and
    messages may hold (``/home/ann/x`` is ``~/x``)."""

    def swap(value: Any) -> Any:
        if isinstance(value, str):
            return HOME.sub("~", value)
        if isinstance(value, list | tuple):
            return [swap(one) for one in value]
        if isinstance(value, dict):
            return {swap(key): swap(one) for key, one in value.items()}
        return value

    if not any(map(_has_home, (trace.events.values, trace.events.results, trace.verdict.message,
                               [*trace.events.extras.values()],
                               trace.verdict.state))):  # fmt: skip
        return trace
    events = trace.events.renamed({})
    events.values = [swap(value) for value in events.values]
    events.results = [swap(value) for value in events.results]
    events.extras = {seq: swap(extra) for seq, extra in events.extras.items()}
    verdict = replace(trace.verdict, message=swap(trace.verdict.message),
                      state=swap(trace.verdict.state))  # fmt: skip
    return replace(trace, events=events, verdict=verdict)


def _has_home(value: Any) -> bool:
    if isinstance(value, str):
        return HOME.search(value) is not None
    if isinstance(value, list | tuple):
        return any(map(_has_home, value))
    if isinstance(value, dict):
        return any(map(_has_home, (*value, *value.values())))
    return False


class _Redactor:
    def __init__(
        self, traces: Sequence[Trace], names: frozenset[str], sources: Mapping[str, str]
    ) -> None:
        self.traces = traces
        self.names = names
        self.sources = sources
        self.secrets = Secrets()
        self.used: set[str] = set()
        found = {name: syntax_tree(text) for name, text in sources.items()}
        self.trees = {name: tree for name, tree in found.items() if tree is not None}
        self.known = parameters(self.trees.values())

    def redacted(self, wanted: list[str]) -> Redacted:
        for tree in self.trees.values():
            self.used |= self.names.intersection(_identifiers(tree))
            for constant in literals(tree, self.names, self.known):
                self.secrets.add(constant.value)
        for trace in self.traces:
            self._collect(trace)
        traces = [self._trace(trace, wanted) for trace in self.traces]
        sources = {name: self._source(name, text) for name, text in self.sources.items()}
        return Redacted(traces, sources, [name for name in wanted if name not in self.used])

    def _trace(self, trace: Trace, wanted: list[str]) -> Trace:
        swap, text = self.secrets.value, self.secrets.text
        state = {
            key: self.secrets.add(value) if self._is(key) else swap(value)
            for key, value in trace.verdict.state.items()
        }
        blocked = [
            replace(one, worker=text(one.worker), target=text(one.target),
                    holder=[text(name) for name in one.holder])
            for one in trace.verdict.blocked
        ]  # fmt: skip
        verdict = replace(
            trace.verdict, message=text(trace.verdict.message), state=state, blocked=blocked
        )
        extra = {**trace.extra, REDACTED: wanted}
        told = extra.get(NAMES)
        if isinstance(told, Mapping):
            extra[NAMES] = {text(str(key)): self._call(one) for key, one in told.items()}
        return replace(
            trace, scenario=self._scenario(trace), events=self._events(trace), verdict=verdict,
            workers=[text(name) for name in trace.workers], extra=extra,
        )  # fmt: skip

    def _call(self, told: Any) -> Any:
        """What a worker is called (``login('x')``), without arguments of these names."""
        return (
            self.secrets.text(self._replaced(told, syntax_tree(told)))
            if type(told) is str
            else told
        )

    def _is(self, name: str) -> bool:
        """Whether something in a path (``Account#1@w.password[0]``) has one of the names."""
        found = self.names.intersection(_WORD.findall(name))
        self.used |= found
        return bool(found)

    # --- what the secrets are -----------------------------------------------------------------
    def _collect(self, trace: Trace) -> None:
        events = trace.events
        own = self._named(events)
        for seq, shape in enumerate(events.shapes):
            for value in (events.values[seq], events.results[seq], events.expects.get(seq)):
                if own[shape]:
                    self._own(value)
                else:
                    self._inside(value)
        for key, value in trace.verdict.state.items():
            if self._is(key):
                self.secrets.add(value)
        self._inside(trace.scenario)
        told = trace.extra.get(NAMES)
        for text in told.values() if isinstance(told, Mapping) else ():
            tree = syntax_tree(text) if isinstance(text, str) else None
            for constant in literals(tree, self.names, self.known) if tree is not None else ():
                self.secrets.add(constant.value)

    def _named(self, events: Events) -> list[bool]:
        """Of each shape, whether it holds a value of what has one of the names."""
        return [
            shape.op in _DATA and shape.target is not None and self._is(shape.target)
            for shape in events.table
        ]

    def _inside(self, value: Any) -> None:
        """What has one of the names inside a value, or in the steps of a scenario."""
        stack = [value]
        while stack:
            one = stack.pop()
            if isinstance(one, Mapping):
                stepped = any(isinstance(part, str) and self._plain(part) for part in one.values())
                for key, inner in one.items():
                    if str(key) in self.names or (stepped and key in _VALUES):
                        self.used |= self.names & {str(key)}
                        if inner is not None:
                            self.secrets.add(inner)
                    else:
                        stack.append(inner)
            elif isinstance(one, list | tuple):
                stack.extend(one)

    def _plain(self, part: str) -> bool:
        return part.partition("[")[0].strip() in self.names

    # --- without them -------------------------------------------------------------------------
    def _events(self, trace: Trace) -> Events:
        events, secrets = trace.events, self.secrets
        own = self._named(events)
        names = {
            shape.target: secrets.text(shape.target)
            for shape in events.table if shape.target is not None
        }  # fmt: skip
        new = events.renamed(names)

        def column(values: list[Any]) -> list[Any]:
            return [
                self._own(value) if own[shape] else secrets.value(value)
                for shape, value in zip(events.shapes, values, strict=True)
            ]

        new.values, new.results = column(events.values), column(events.results)
        new.expects = {
            seq: self._own(value) if own[events.shapes[seq]] else secrets.value(value)
            for seq, value in events.expects.items()
        }
        new.extras = {
            seq: {key: secrets.value(value) if isinstance(value, str) else value
                  for key, value in extra.items()}
            for seq, extra in events.extras.items()
        }  # fmt: skip
        return new

    def _own(self, value: Any) -> Any:
        """The value of what has one of the names. That there is none, or that it could not be got,
        is no value."""
        if value is MISSING or value is None or (isinstance(value, Mapping) and "error" in value):
            return value
        return self.secrets.add(value)

    def _scenario(self, trace: Trace) -> dict[str, Any]:
        """The scenario; of Python code the tables of files and places stay as they are."""
        kept = {"places", "sources"}
        found: dict[str, Any] = {}
        for key, value in trace.scenario.items():
            if key == "python" and isinstance(value, Mapping):
                found[key] = {
                    name: one if name in kept else self.secrets.value(one)
                    for name, one in value.items()
                }
            else:
                found[key] = self._without(value)
        return found

    def _without(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            stepped = any(isinstance(part, str) and self._plain(part) for part in value.values())
            return {
                key: self._own(inner)
                if str(key) in self.names or (stepped and key in _VALUES)
                else self._without(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._without(one) for one in value]
        return self.secrets.value(value)

    def _source(self, name: str, text: str) -> str:
        """A file with as many lines as before."""
        return self.secrets.text(self._replaced(text, self.trees.get(name)))

    def _replaced(self, text: str, tree: ast.Module | None) -> str:
        """Python code with marks in place of the constants that are kept out."""
        if tree is not None:
            spans = sorted(
                {_span(one) for one in literals(tree, self.names, self.known)}, reverse=True
            )
            lines = [line.encode() for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)]
            for (first, start), (last, end), value in _marked(spans, self.secrets.add):
                ending = b"\n" * (last - first)
                lines[first] = lines[first][:start] + value.encode() + ending + lines[last][end:]
                lines[first + 1 : last + 1] = [b""] * (last - first)
            text = b"".join(lines).decode("utf-8", "replace")
        return text


_Place = tuple[int, int]


def _span(node: ast.Constant) -> tuple[_Place, _Place, Any]:
    """Where a constant stands: lines from 0, columns in bytes; and its value."""
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return (node.lineno - 1, node.col_offset), (end_line - 1, end), node.value


def _marked(
    spans: Iterable[tuple[_Place, _Place, Any]], mark: Callable[[Any], str]
) -> Iterator[tuple[_Place, _Place, str]]:
    """What to write in these places, which come from the end; parts of an f-string lie in it."""
    before: _Place | None = None
    for start, end, value in spans:
        if before is not None and end > before:
            continue
        before = start
        yield start, end, mark(value)


def _identifiers(tree: ast.AST) -> Collection[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg"):
            value = getattr(node, name, None)
            if isinstance(value, str):
                found.add(value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found
