"""The source that a run touched: whole functions, so that who has not got the code can read it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tracelock.report.code import lines_of, place_of, places_of, syntax_tree
from tracelock.report.redaction.redacting import HOME
from tracelock.report.wording import clean
from tracelock.trace import Trace
from tracelock.trace.model import FILES

__all__ = ["Block", "SourceLine", "touched_source"]

#: A function of more lines is shown near the lines that ran only.
LONGEST: Final = 150
#: Lines of all functions together, beyond which every one is shown like that.
MOST: Final = 2_500
_AROUND: Final = 3
#: Characters of one line.
_WIDEST: Final = 300


class SourceLine(NamedTuple):
    """A line of a file, ``at`` as the trace names it (``file:line``); ``ran``: an event was there.

    ``text`` is "" where the file is not at hand, then ``function`` says what the line is in.
    ``number`` 0: here lines are left out.
    """

    at: str
    number: int
    text: str
    ran: bool
    function: str = ""


@dataclass(slots=True)
class Block:
    """Lines of a file that belong together: a function, or what stands outside of all.

    ``file``: below the project's folder, as far as that is known; ``known``: its text is here.
    """

    file: str
    name: str
    first: int
    known: bool
    lines: list[SourceLine] = field(default_factory=list)


class _Span(NamedTuple):
    first: int
    last: int
    name: str


def touched_source(
    trace: Trace, sources: Mapping[str, str], extra: Iterable[str] = (),
    folded: Collection[int] = (),
) -> list[Block]:  # fmt: skip
    """The touched functions, those of the file with the most events first. ``sources``: the texts
    of files by the names that the trace has; ``extra``: further places (``file:line``);
    ``folded``: events that do not matter where their file is not at hand."""
    events, table = trace.events, trace.events.table
    counts: Counter[str] = Counter()
    touched: dict[str, set[int]] = {}
    places = Counter(table[shape].at for shape in events.shapes)
    told = {table[shape].at for seq, shape in enumerate(events.shapes) if seq not in folded}
    ends = [*(one.at for one in trace.verdict.blocked), *extra]
    for at in [*places, *ends]:
        place = place_of(at)
        if place is not None and place[1] and (place[0] in sources or at in told or at in ends):
            counts[place[0]] += places[at]
            touched.setdefault(place[0], set()).add(place[1])
    recorded = trace.extra.get(FILES)
    paths = recorded if isinstance(recorded, Mapping) else {}
    functions = places_of(trace)
    texts = {name: lines_of(sources[name]) for name in touched if name in sources}
    spans = {name: _spans(lines, sources[name], touched[name]) for name, lines in texts.items()}
    whole = sum(one.last - one.first + 1 for each in spans.values() for one in each) <= MOST
    found: list[Block] = []
    for name in sorted(touched, key=lambda name: (-counts[name], name)):
        path = paths.get(name)
        file = clean(path if isinstance(path, str) and path else name)
        if name not in texts:
            found.append(_unknown(name, file, touched[name], functions))
            continue
        for span in spans[name]:
            block = Block(file, clean(span.name), span.first, True)
            wanted = sorted(n for n in touched[name] if span.first <= n <= span.last)
            every = whole and span.last - span.first < LONGEST
            block.lines = _dedented(list(_lines(name, texts[name], span, wanted, every)))
            found.append(block)
    return found


def _unknown(
    name: str, file: str, numbers: Iterable[int], functions: Mapping[str, object]
) -> Block:
    lines = [
        SourceLine(f"{name}:{n}", n, "", True, clean(str(functions.get(f"{name}:{n}", ""))))
        for n in sorted(numbers)
    ]
    return Block(file, "", lines[0].number, False, lines)


def _lines(
    name: str, lines: Sequence[str], span: _Span, wanted: Sequence[int], every: bool
) -> Iterator[SourceLine]:
    near = range(span.first, span.last + 1)
    numbers = list(near) if every else sorted(
        {n for line in wanted for n in range(line - _AROUND, line + _AROUND + 1) if n in near}
        | {span.first}
    )  # fmt: skip
    ran, previous = set(wanted), span.first - 1
    for number in numbers:
        if number != previous + 1:
            yield SourceLine("", 0, "", False)
        previous = number
        text = lines[number - 1].expandtabs(4).rstrip() if number <= len(lines) else ""
        text = clean(HOME.sub("~", text))
        if len(text) > _WIDEST:
            text = text[: _WIDEST - 3] + "..."
        yield SourceLine(f"{name}:{number}", number, text, number in ran)


def _dedented(lines: list[SourceLine]) -> list[SourceLine]:
    """The lines without the blanks that all of them begin with."""
    texts = [line.text for line in lines if line.text]
    least = min((len(text) - len(text.lstrip()) for text in texts), default=0)
    return [line._replace(text=line.text[least:]) for line in lines]


def _spans(lines: Sequence[str], text: str, touched: Iterable[int]) -> list[_Span]:
    """The functions that hold these lines, one inside another as one; a few lines where there is
    no function, or the file is of another version of Python."""
    functions = _functions(text)
    wanted: dict[tuple[int, int], str] = {}
    for number in touched:
        around = [one for one in functions if one.first <= number <= one.last]
        if around:
            inner = around[-1]
            wanted[inner.first, inner.last] = inner.name
        else:
            last = max(number, min(len(lines), number + _AROUND))
            wanted[max(1, number - _AROUND), last] = ""
    merged: list[_Span] = []
    for (first, last), name in sorted(wanted.items(), key=lambda one: (one[0][0], -one[0][1])):
        before = merged[-1] if merged else None
        if before is not None and first <= before.last:
            merged[-1] = _Span(before.first, max(before.last, last), before.name or name)
        else:
            merged.append(_Span(first, last, name))
    return merged


def _functions(text: str) -> list[_Span]:
    """All functions of a file with their decorators, outer ones before those inside."""
    tree = syntax_tree(text)
    if tree is None:
        return []
    found: list[_Span] = []
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, prefix = stack.pop()
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}" if prefix else child.name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                found.append(_Span(first, child.end_lineno or child.lineno, name))
            stack.append((child, name))
    return sorted(found, key=lambda one: (one.first, -one.last))
