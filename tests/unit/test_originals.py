"""What of a syntax tree a code object was made of, compared with a search through all of it."""

from __future__ import annotations

import ast
import dataclasses
import textwrap
from types import CodeType

import pytest

from tracelock.instrument.gil.originals import DefinitionsByLine


def codes_of(source: str) -> list[CodeType]:
    left, found = [compile(source, "<source>", "exec", dont_inherit=True)], []
    while left:
        found.append(left.pop())
        left += [one for one in found[-1].co_consts if isinstance(one, CodeType)]
    return found


def by_search(tree: ast.Module, code: CodeType) -> ast.AST:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    found: ast.AST = tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            begins = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            last = max(lines, default=code.co_firstlineno)
            if begins <= code.co_firstlineno and last <= (node.end_lineno or 0):
                found = node  # the walk goes inwards
    return found


@pytest.mark.parametrize("module", [textwrap, dataclasses])
def test_the_innermost_definition_around_it(module: object) -> None:
    with open(module.__file__, encoding="utf-8") as file:  # type: ignore[attr-defined]
        source = file.read()
    tree = ast.parse(source)
    parts, codes = DefinitionsByLine(tree), codes_of(source)
    assert len(codes) > 15
    for code in codes:
        assert parts.of(code) is by_search(tree, code), code.co_qualname
