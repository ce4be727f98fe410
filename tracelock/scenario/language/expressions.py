"""The expressions of the scenario language: read, checked against a closed list, never run here.

An expression is a small part of Python's own syntax, so Python's parser reads it; what comes
out is Python's ``ast``, and everybody else works on that tree. Nothing outside the closed list
below survives :func:`parse`, and sizes are bounded, so text from a stranger is safe to read.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

MAX_LENGTH: Final = 10_000  # characters
MAX_DEPTH: Final = 100  # levels of the tree
MAX_CANDIDATES: Final = 300  # names that a misspelt one is compared with

#: function -> how many arguments it takes, at least and at most (None: any number).
ARGUMENTS: Final[dict[str, tuple[int, int | None]]] = {
    "len": (1, 1),
    "min": (1, None),
    "max": (1, None),
    "abs": (1, 1),
    "sum": (1, 2),
    "int": (1, 1),
    "float": (1, 1),
    "bool": (1, 1),
    "round": (1, 2),
    "sqrt": (1, 1),
}
FUNCTIONS: Final = frozenset(ARGUMENTS)
CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
#: Names that every worker has without setting them.
GIVEN: Final = frozenset({"index", "count"})

_OPERATORS: Final = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
    ast.UAdd, ast.USub, ast.Not, ast.And, ast.Or,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
)  # fmt: skip
_REFUSED: Final[dict[type[ast.AST], str]] = {
    ast.Attribute: "attributes (a.b) are not part of the language",
    ast.Lambda: "lambda is not part of the language",
    ast.NamedExpr: "assignment (:=) is not part of the language: use a let step",
    ast.Tuple: "tuples are not part of the language: write a list, [a, b]",
    ast.Dict: "mappings are not part of the language",
    ast.Set: "sets are not part of the language",
    ast.ListComp: "comprehensions are not part of the language",
    ast.SetComp: "comprehensions are not part of the language",
    ast.DictComp: "comprehensions are not part of the language",
    ast.GeneratorExp: "comprehensions are not part of the language",
    ast.JoinedStr: "f-strings are not part of the language",
    ast.Starred: "unpacking (*a) is not part of the language",
    ast.Slice: "slices (a[1:2]) are not part of the language",
    ast.Pow: "powers (**) are not part of the language",
    ast.LShift: "shifts (<<) are not part of the language",
    ast.RShift: "shifts (>>) are not part of the language",
    ast.MatMult: "the operator @ is not part of the language",
    ast.BitAnd: "the operator & is not part of the language (did you mean and?)",
    ast.BitOr: "the operator | is not part of the language (did you mean or?)",
    ast.BitXor: "the operator ^ is not part of the language",
    ast.Invert: "the operator ~ is not part of the language (did you mean not?)",
}
_TOKEN: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|&&|\|\||!(?!=)|[\[\](){}#]")
_UNFINISHED: Final = re.compile(r"(?:\b(?:and|or|not|in|is|if|else)|[-+*/%<>=,.(\[])$")
_STRAY: Final = {
    "#": "a comment cannot stand in an expression",
    "&&": "&& is not part of the language: write and",
    "||": "|| is not part of the language: write or",
    "!": "! is not part of the language: write not",
}


class ExpressionError(ValueError):
    """A text that is no expression of the language.

    ``message`` is a sentence, ``offset`` counts characters into the text from 0.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        self.message = message
        self.offset = offset
        super().__init__(message)


class _Refuse(Protocol):
    def __call__(self, message: str, node: ast.expr = ...) -> ExpressionError: ...


@dataclass(frozen=True, slots=True)
class Mention:
    """One place where an expression names something.

    ``index``: the tree between the brackets in ``name[...]``, else None. ``measured``: it is
    the argument of ``len``, so it is not read. ``sure``: every evaluation comes to it (it is
    not behind an ``and``, ``or``, ``if`` or a later part of a chain).
    """

    name: str
    node: ast.Name
    index: ast.expr | None
    measured: bool
    sure: bool


def parse(text: str) -> ast.expr:
    """``text`` as a checked tree; ``true``, ``false`` and ``null`` in it are constants.

    Positions in the tree are Python's own (:func:`offset_of` gives characters). The tree holds
    only Constant, Name, BinOp, UnaryOp, BoolOp, Compare, IfExp, Subscript, List and Call of a
    name in ``FUNCTIONS`` without keywords. Raises ExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression may have {MAX_LENGTH:,} characters at most")
    if not text.strip():
        raise ExpressionError("an expression belongs here, not an empty text")
    source = text.strip().replace("\r", " ").replace("\n", " ").replace("\t", " ")
    lead = len(text) - len(text.lstrip())
    _prescan(source, lead)
    try:
        with warnings.catch_warnings():
            # Python remarks on doubtful escapes and the like; such texts are refused or harmless.
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise _unreadable(source, (error.offset or 1) - 1, lead) from None
    except (MemoryError, RecursionError):
        raise ExpressionError(_too_deep(), lead) from None
    except ValueError:
        raise ExpressionError("this cannot be read as an expression", lead) from None
    _check(tree, text)
    return _Constants().visit(tree)  # type: ignore[no-any-return]


def tree_of(expr: str | int | float | bool | None) -> ast.expr:
    """The tree of an EXPR: of a text, or the constant that any other scalar is."""
    return parse(expr) if isinstance(expr, str) else ast.Constant(expr)


def parse_reference(text: str) -> tuple[str, ast.expr | None]:
    """``text`` as ``name`` or ``name[EXPR]``: the name and the checked index, or None.

    Raises ExpressionError.
    """
    try:
        tree = parse(text)
    except ExpressionError as error:
        if re.fullmatch(r"\s*[\w-]+\s*", text):
            raise ExpressionError(f"{quote(text)} is not a name") from None
        raise error
    match tree:
        case ast.Name(id=name):
            return name, None
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return name, index
    raise ExpressionError(f"a name or name[index] belongs here, not {quote(text)}")


def mentions(tree: ast.expr) -> Iterator[Mention]:
    """Every name in a checked tree, in order of evaluation; function names are not among them."""
    return _mentions(tree, True, False)


def names(tree: ast.expr) -> tuple[str, ...]:
    """The distinct names that a checked tree mentions, in order of evaluation."""
    return tuple(dict.fromkeys(mention.name for mention in mentions(tree)))


def constant_index(tree: ast.expr | None) -> object:
    """The value of an index that is a constant, with its sign; Ellipsis for any other."""
    match tree:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return ...


def offset_of(text: str, node: ast.expr) -> int:
    """Where ``node`` of ``parse(text)`` begins, in characters from the start of ``text``."""
    stripped = text.strip()
    lead = len(text) - len(text.lstrip())
    # Python counts bytes of UTF-8.
    return lead + len(stripped.encode()[: node.col_offset].decode(errors="ignore"))


def is_name(text: str) -> bool:
    """Whether ``text`` can be the name of something: an identifier that means nothing else."""
    return (
        text.isidentifier()
        and unicodedata.normalize("NFKC", text) == text  # Python's parser folds the others
        and not keyword.iskeyword(text)
        and text not in CONSTANTS
    )


def quote(text: str, limit: int = 60) -> str:
    """``text`` in double quotes, on one line and not too long, for a message."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    inside = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f'"{inside}"'


def suggest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean "x"?)`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(word[:100], islice(known, MAX_CANDIDATES), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def there_are(words: Sequence[str]) -> str:
    """``there are a, b`` or ``there is a``."""
    return f"there {'is' if len(words) == 1 else 'are'} {', '.join(words)}"


def _unreadable(source: str, at: int, lead: int) -> ExpressionError:
    if _UNFINISHED.search(source):
        reason = "this cannot be read as an expression: it ends too early"
        return ExpressionError(reason, lead + len(source))
    at = min(max(at, 0), len(source))
    if re.search(r"(?<![=!<>:])=(?!=)", source):
        return ExpressionError("= is not part of the language: write == to compare", lead)
    near = f" near {quote(source[at:], 20)}" if source[at:].strip() else ""
    return ExpressionError(f"this cannot be read as an expression{near}", lead + at)


def _prescan(source: str, lead: int) -> None:
    """Refuses what Python's parser would drop (comments) or go deep for (brackets)."""
    depth = 0
    for found in _TOKEN.finditer(source):
        token = found.group()
        if token in _STRAY:
            raise ExpressionError(_STRAY[token], lead + found.start())
        if token in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ExpressionError(_too_deep(), lead + found.start())
        elif token in ")]}":
            depth -= 1


def _too_deep() -> str:
    return f"an expression may be nested {MAX_DEPTH} levels deep at most"


def _check(tree: ast.expr, text: str) -> None:
    todo: list[tuple[ast.expr, int]] = [(tree, 1)]
    while todo:
        node, depth = todo.pop()

        def refuse(message: str, node: ast.expr = node) -> ExpressionError:
            return ExpressionError(message, offset_of(text, node))

        if depth > MAX_DEPTH:
            raise refuse(_too_deep())
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.operator | ast.unaryop | ast.boolop | ast.cmpop):
                if not isinstance(child, _OPERATORS):
                    raise refuse(_REFUSED.get(type(child), "this operator is not allowed"))
            elif isinstance(child, ast.Starred):
                raise refuse(_REFUSED[ast.Starred], child)
            elif isinstance(child, ast.expr) and not (
                isinstance(node, ast.Call) and child is node.func
            ):
                todo.append((child, depth + 1))
        match node:
            case ast.Constant(value=value):
                _check_constant(value, refuse)
            case ast.Call():
                _check_call(node, refuse)
            case ast.Compare():
                _check_identity(node, refuse)
            case (
                ast.Name()
                | ast.BinOp()
                | ast.UnaryOp()
                | ast.BoolOp()
                | ast.IfExp()
                | ast.Subscript()
                | ast.List()
            ):
                pass
            case _:
                raise refuse(_REFUSED.get(type(node), "this is not part of the language"))


def _check_constant(value: object, refuse: _Refuse) -> None:
    if not (value is None or isinstance(value, bool | int | float | str)):
        raise refuse("numbers, texts, true, false and null are the only constants")
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse("this number is too large")
    if isinstance(value, str) and has_surrogate(value):
        raise refuse("this text holds half a character (a lone surrogate)")


def has_surrogate(text: str) -> bool:
    """Whether ``text`` holds a lone surrogate, which no file can hold."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _check_call(node: ast.Call, refuse: _Refuse) -> None:
    known = ", ".join(ARGUMENTS)
    if not isinstance(node.func, ast.Name):
        reason = _REFUSED.get(type(node.func), f"only these functions can be called: {known}")
        raise refuse(reason, node.func)
    name = node.func.id
    if name not in FUNCTIONS:
        hint = suggest(name, FUNCTIONS) or f" (there are {known})"
        raise refuse(f"unknown function {quote(name)}{hint}", node.func)
    if node.keywords:
        raise refuse(f"{name} takes no named arguments")
    least, most = ARGUMENTS[name]
    given = len(node.args)
    if given < least or (most is not None and given > most):
        wanted = f"{least} to {most}" if most not in (least, None) else f"{least}"
        more = " or more" if most is None else ""
        noun = "argument" if least == most == 1 else "arguments"
        raise refuse(f"{name} takes {wanted}{more} {noun}, not {given}")


def _check_identity(node: ast.Compare, refuse: _Refuse) -> None:
    # "is" between numbers would depend on which objects Python happens to share.
    sides = [node.left, *node.comparators]
    for place, operator in enumerate(node.ops):
        if isinstance(operator, ast.Is | ast.IsNot) and not any(
            (isinstance(side, ast.Constant) and isinstance(side.value, bool | None))
            or (isinstance(side, ast.Name) and side.id in CONSTANTS)
            for side in sides[place : place + 2]
        ):
            raise refuse("is compares with null, true or false only: write ==")


class _Constants(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in CONSTANTS:
            return ast.copy_location(ast.Constant(CONSTANTS[node.id]), node)
        return node


def _mentions(tree: ast.expr, sure: bool, measured: bool) -> Iterator[Mention]:
    match tree:
        case ast.Name(id=name):
            yield Mention(name, tree, None, measured, sure)
        case ast.Subscript(value=ast.Name(id=name) as node, slice=index):
            yield from _mentions(index, sure, False)
            yield Mention(name, node, index, False, sure)
        case ast.Call(func=ast.Name(id=function), args=args):
            for argument in args:
                yield from _mentions(argument, sure, function == "len")
        case ast.BoolOp(values=[first, *rest]):
            yield from _mentions(first, sure, False)
            for value in rest:
                yield from _mentions(value, False, False)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield from _mentions(test, sure, False)
            yield from _mentions(body, False, False)
            yield from _mentions(orelse, False, False)
        case ast.Compare(left=left, comparators=[first, *rest]):
            yield from _mentions(left, sure, False)
            yield from _mentions(first, sure, False)
            for value in rest:
                yield from _mentions(value, False, False)
        case _:
            for child in ast.iter_child_nodes(tree):
                if isinstance(child, ast.expr):
                    yield from _mentions(child, sure, False)
