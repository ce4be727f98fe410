"""The syntax tree of a module, rewritten so that each shared access asks a hook first.

What stands in a trace is then a source position, the same on every version of Python; the hook
is handed the object itself; and frames, line numbers, debuggers and coverage stay as they are.
The hooks and the sites are constants of the code, so that no name is added to the module.

The alternative, events for each instruction (``sys.monitoring`` from 3.12, ``f_trace_opcodes``
on 3.11), was tried and is as fast: both cost mostly the hand-over of the baton. What decided is
what each can see. An event has an offset: the object, the key and the value lie on a stack that
Python code cannot read, whether ``append`` is a list's is not known before the call, opcodes differ
between versions (a trace would not survive an upgrade), and the slot of the tracer is taken from
debuggers and coverage. A hook is handed all of these. What only events see, code created by
``exec`` (a dataclass's methods), is the smaller loss.
"""

from __future__ import annotations

import ast
from typing import Final

from tracelock.instrument.accesses import hooks
from tracelock.instrument.accesses.containers import GIVEN
from tracelock.instrument.rewrite.expressions import ExpressionRewriter, nesting
from tracelock.instrument.rewrite.patterns import any_of, described
from tracelock.instrument.rewrite.sites import Sites
from tracelock.instrument.rewrite.trees import at_place, copied

#: In-place operators that change a container: how its type spells them.
_IN_PLACE: dict[type[ast.operator], str] = {
    ast.Add: "__iadd__", ast.Mult: "__imul__", ast.Sub: "__isub__", ast.BitOr: "__ior__",
    ast.BitAnd: "__iand__", ast.BitXor: "__ixor__",
}  # fmt: skip
#: The number of the first hidden name that holds what is matched, while that goes on.
_MATCHED: Final = 1_000


def rewrite(tree: ast.Module, file: str, module: str, sites: Sites) -> list[object]:
    """Rewrite ``tree`` in place; returns what its marks stand for.

    ``file`` is the stable name of the source, ``module`` its dotted name. Statements of the
    module and of class bodies are left alone: they run once, at import.
    """
    rewriter = Rewriter(tree, file, module, sites)
    tree.body = rewriter.block(tree.body)
    return rewriter.objects


class Rewriter(ExpressionRewriter):
    """The whole transformer. Operands that must outlive a statement's first half are kept in
    local variables that no source can spell, and deleted at once."""

    # --- scopes ---

    def visit_FunctionDef(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef
    ) -> ast.stmt | list[ast.stmt]:
        decorators = list(node.decorator_list)
        self.visit_fields(node, "decorator_list")
        self.visit_fields(node.args, "defaults", "kw_defaults")
        self.visit_body(node)
        if isinstance(node, ast.FunctionDef) and any(map(_caches, decorators)):
            node.body = self._keeping(node)
        return self._binding(node, node.name)

    def _keeping(self, node: ast.FunctionDef) -> list[ast.stmt]:
        """The body of a function whose results are kept: they are when it has ended."""
        inner = self.scopes[node]
        point = self.hook(
            hooks.computed, node, self.constant(self.home.name, node),
            self.constant(inner.qualname, node), self.place(node),
        )  # fmt: skip
        ending = at_place(ast.Expr(point), node)
        return [at_place(ast.Try(node.body, [], [], [ending]), node)]

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt | list[ast.stmt]:
        self.visit_fields(node, "decorator_list", "bases", "keywords")
        self.visit_body(node)
        return self._binding(node, node.name)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        return self._binding(node, *names)

    visit_ImportFrom = visit_Import

    def _binding(self, node: ast.stmt, *names: str) -> ast.stmt | list[ast.stmt]:
        """``node``, with a point before it for each shared variable that it binds."""
        points: list[ast.stmt] = []
        if self.active:
            for name in names:
                if self.sharing(name) is not None:
                    value = self.bound(name, self.constant(None, node), node)
                    points.append(at_place(ast.Expr(value), node))
        return [*points, node] if points else node

    # --- assignment ---

    def needs(self, target: ast.expr) -> bool:
        """Whether storing to ``target`` is a shared access."""
        match target:
            case ast.Attribute() | ast.Subscript():
                return True
            case ast.Name(id=name):
                return self.sharing(name) is not None
            case ast.Starred(value=value):
                return self.needs(value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return any(self.needs(each) for each in elements)
        return False

    def hidden(self, number: int, at: ast.AST, ctx: ast.expr_context | None = None) -> ast.Name:
        # A leading @, as pytest's rewritten assertions have it: their tracebacks leave it out.
        return at_place(ast.Name(f"@tl{number}", ctx or ast.Load()), at)

    def keep(self, number: int, value: ast.expr, at: ast.AST) -> ast.stmt:
        return at_place(ast.Assign([self.hidden(number, at, ast.Store())], value), at)

    def drop(self, at: ast.AST, *numbers: int) -> ast.stmt:
        return at_place(ast.Delete([self.hidden(each, at, ast.Del()) for each in numbers]), at)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | list[ast.stmt]:
        if not self.active:
            self.generic_visit(node)
            return node
        before = node.value
        match node:
            case ast.Assign(
                [ast.Name(id=name)], ast.Attribute(attr=known) | ast.Name(id=known)
            ) if name[0] == "@":
                self.renamed[name] = known
        value = self.visited(before)
        unpacks = any(isinstance(each, ast.Tuple | ast.List) for each in node.targets)
        nested = max(map(nesting, node.targets))
        if nested > 0:
            depth = at_place(ast.Constant(nested), before)
            value = self.hook(hooks.unpacking, before, value, self.place(before), depth)
        elif unpacks and not isinstance(before, ast.Tuple | ast.List):
            value = self.reading(value, "__iter__")
        if not any(self.needs(each) for each in node.targets):
            node.value = value
            self.visit_fields(node, "targets")
            return node
        if len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                node.value = self.bound(target.id, value, target)
                return node
            if self.simple(before) and isinstance(target, ast.Attribute | ast.Subscript):
                return self.store(target, value, 1)
        stores = [
            each
            for target in node.targets
            for each in self.store(target, self.hidden(0, target), 1)
        ]
        return [self.keep(0, value, node), *stores, self.drop(node, 0)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | list[ast.stmt]:
        if not self.active or node.value is None:
            if node.value is not None:
                node.value = self.visited(node.value)
            return node
        if isinstance(node.target, ast.Name):
            node.value = self.bound(node.target.id, self.visited(node.value), node.target)
            return node
        # The annotation stays: it is not evaluated here, but its names count for closures.
        target, annotation = node.target, node.annotation
        assigned = self.visit_Assign(at_place(ast.Assign([target], node.value), node))
        return [
            at_place(ast.AnnAssign(target, annotation, each.value, 0), each)
            if isinstance(each, ast.Assign) and each.targets[0] is target
            else each
            for each in (assigned if isinstance(assigned, list) else [assigned])
        ]

    def store(self, target: ast.expr, value: ast.expr, free: int) -> list[ast.stmt]:
        """Statements that store the simple ``value``; hidden names from ``free`` on are free."""
        match target:
            case ast.Name(id=name):
                return [self._assign(target, self.bound(name, value, target))]
            case ast.Attribute():
                target.value = self.storing(target, self.visited(target.value), copied(value))
                return [self._assign(target, value)]
            case ast.Subscript(value=base, slice=key):
                if self.simple(key) or self.simple(base):
                    self.storing_item(target, copied(value))
                    return [self._assign(target, value)]
                kept = self.hidden(free, base)
                first = self.keep(free, self.visited(base), base)
                key_value = self.key(self.visited(key))
                place = self.place(target)
                target.value, target.slice = (
                    kept,
                    self.hook(
                        hooks.storing_key, key, copied(kept), key_value, place, copied(value)
                    ),
                )
                return [first, self._assign(target, value), self.drop(target, free)]
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                if not self.needs(target):
                    return [self._assign(target, value)]
                numbers = range(free, free + len(elements))
                after = free + len(elements)
                stores: list[ast.stmt] = []
                fresh: list[ast.expr] = []
                for number, element in zip(numbers, elements, strict=True):
                    kept_as: ast.expr = self.hidden(number, element, ast.Store())
                    inner = element
                    if isinstance(element, ast.Starred):
                        kept_as = at_place(ast.Starred(kept_as, ast.Store()), element)
                        inner = element.value
                    fresh.append(kept_as)
                    stores += self.store(inner, self.hidden(number, inner), after)
                target.elts = fresh
                unpack = self._assign(target, value)
                return [unpack, *stores, *([self.drop(target, *numbers)] if elements else [])]
        raise AssertionError(target)  # the grammar has no other targets

    def _assign(self, target: ast.expr, value: ast.expr) -> ast.stmt:
        return at_place(ast.Assign([target], value), target)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt | list[ast.stmt]:
        if not self.active:
            self.generic_visit(node)
            return node
        target = node.target
        if isinstance(target, ast.Name) and self.sharing(target.id) is None:
            node.value = self._operand(node, target, self.visited(node.value))
            return node
        before: list[ast.stmt] = []
        used = [0]
        base: ast.expr
        if isinstance(target, ast.Name):
            load: ast.expr = self.visited(at_place(ast.Name(target.id, ast.Load()), target))
            store: ast.expr = target
        else:
            base = target.value
            if not self.simple(base):
                before.append(self.keep(1, self.visited(base), base))
                used.append(1)
                base = self.hidden(1, base)
            if isinstance(target, ast.Attribute):
                load = at_place(ast.Attribute(base, target.attr, ast.Load()), target)
                load.value = self.attribute_of(load, copied(base))
                store = at_place(ast.Attribute(copied(base), target.attr, ast.Store()), target)
            else:
                key = target.slice
                if not self.simple(key):
                    before.append(self.keep(2, self.key(self.visited(key)), key))
                    used.append(2)
                    key = self.hidden(2, key)
                asked = self.hook(hooks.item, base, base, self.place(target), self.key(copied(key)))
                load = at_place(ast.Subscript(asked, key, ast.Load()), target)
                store = at_place(ast.Subscript(copied(base), copied(key), ast.Store()), target)
        kept = self.hidden(0, target, ast.Store())
        value = self._operand(node, self.hidden(0, target), self.visited(node.value))
        return [
            *before,
            self.keep(0, load, target),
            at_place(ast.AugAssign(kept, node.op, value), node),
            *self.store(store, self.hidden(0, target), 3),
            self.drop(node, *used),
        ]

    def _operand(self, node: ast.AugAssign, obj: ast.Name, value: ast.expr) -> ast.expr:
        operation = _IN_PLACE.get(type(node.op))
        number = isinstance(node.value, ast.Constant) and not isinstance(node.op, ast.Mult)
        if operation is None or (number and not isinstance(node.value.value, str | bytes)):  # type: ignore[attr-defined]
            return value
        changed, spelled = (
            at_place(ast.Name(obj.id, ast.Load()), obj),
            self.constant(operation, node),
        )
        return self.hook(hooks.in_place, node.value, changed, value, spelled, self.place(node))

    def visit_Delete(self, node: ast.Delete) -> ast.stmt | list[ast.stmt]:
        if not self.active or not any(self.needs(each) for each in node.targets):
            self.generic_visit(node)
            return node
        return [each for target in node.targets for each in self._delete(target)]

    def _delete(self, target: ast.expr) -> list[ast.stmt]:
        before: list[ast.stmt] = []
        after: list[ast.stmt] = []
        match target:
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return [each for element in elements for each in self._delete(element)]
            case ast.Name(id=name):
                if self.sharing(name) is not None:
                    point = self.bound(name, self.constant(None, target), target)
                    before.append(at_place(ast.Expr(point), target))
            case ast.Attribute():
                target.value = self.storing(target, self.visited(target.value))
            case ast.Subscript(value=base, slice=key):
                if not self.simple(base) and not self.simple(key):
                    before.append(self.keep(0, self.visited(base), base))
                    target.value = self.hidden(0, base)
                    after.append(self.drop(target, 0))
                self.storing_item(target)
        return [*before, at_place(ast.Delete([target]), target), *after]

    # --- statements with targets and blocks ---

    def _received(self, target: ast.expr) -> tuple[ast.expr, list[ast.stmt]]:
        """A target of ``for`` or ``with``, and what the block must store first."""
        if not self.active or not self.needs(target):
            return self.visited(target), []
        kept = self.hidden(0, target, ast.Store())
        stores = self.store(target, self.hidden(0, target), 1)
        return kept, [*stores, self.drop(target, 0)]

    def visit_For(self, node: ast.For | ast.AsyncFor) -> ast.stmt:
        before = node.iter
        node.iter = self.visited(before)
        if self.active and isinstance(node, ast.For):
            node.iter = self.looping(before, node.iter, node.target)
        node.target, first = self._received(node.target)
        self.visit_fields(node, "body", "orelse")
        node.body = [*first, *node.body]
        return node

    visit_AsyncFor = visit_For

    def visit_With(self, node: ast.With | ast.AsyncWith) -> ast.stmt:
        receiving = [
            each.optional_vars is not None and self.needs(each.optional_vars) for each in node.items
        ]
        if self.active and any(receiving[:-1]):
            # The rest is evaluated after the first is stored: a block of its own.
            inner = at_place(type(node)(node.items[1:], node.body), node)
            node.items, node.body = node.items[:1], [inner]
        first: list[ast.stmt] = []
        for each in node.items:
            before = each.context_expr
            each.context_expr = self.visited(before)
            if self.active and isinstance(node, ast.With):
                each.context_expr = self.hook(
                    hooks.entering, before, each.context_expr, self.place(before)
                )
            if each.optional_vars is not None:
                each.optional_vars, stores = self._received(each.optional_vars)
                first += stores
        node.body = [*first, *self.block(node.body)]
        return node

    visit_AsyncWith = visit_With

    def visit_Match(self, node: ast.Match) -> ast.stmt | list[ast.stmt]:
        before = node.subject
        node.subject = self.visited(before)
        patterns = [described(case.pattern) for case in node.cases] if self.active else []
        if self.active:
            node.subject = self.reading(node.subject, GIVEN)
        # a guard runs code: what comes after it is looked at once more
        parts = [number for number, case in enumerate(node.cases[:-1]) if case.guard]
        kept = bool(parts) and any(patterns) and not self.simple(before)
        again = self.hidden(_MATCHED + node.lineno, before) if kept else before
        for number, case in enumerate(node.cases):
            if case.guard:
                case.guard = self.test(case.guard)
            if case.guard and number in parts and (told := any_of(patterns[number + 1 :])):
                place, value = self.place(case.pattern), at_place(ast.Constant(told), before)
                looks = self.hook(hooks.matching_on, before, copied(again), place, value)
                case.guard = at_place(ast.BoolOp(ast.Or(), [case.guard, looks]), case.guard)
            case.body = self.block(case.body)
        if told := any_of(patterns[: parts[0] + 1 if parts else None]):
            value = at_place(ast.Constant(told), before)
            subject = self.hook(hooks.matching, before, node.subject, self.place(before), value)
            node.subject = subject
        if not kept:
            return node
        first = self.keep(_MATCHED + node.lineno, node.subject, before)
        node.subject = copied(again)
        return [first, node, self.drop(before, _MATCHED + node.lineno)]

    # --- left as they are ---

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        return node  # annotations; the defaults are seen to where the function is

    def visit_TypeAlias(self, node: ast.stmt) -> ast.stmt:
        return node


def _caches(decorator: ast.expr) -> bool:
    """Whether this decorator is one of ``functools`` that keeps results."""
    match decorator:
        case ast.Call(func=function):
            return _caches(function)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in ("lru_cache", "cache")
    return False
