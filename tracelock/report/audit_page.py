"""The matrix of an audit as a page: a cell leads to what is known of its two methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracelock.report.templates import asset, fill, markup

#: How a cell is drawn, by its verdict.
_SIGNS: Final = {"verified": "✓", "passed": "·", "failed": "✗", "unfinished": "?", "skipped": ""}
#: What nothing is known of.
_EMPTY: Final = {"verdict": "skipped", "sign": "", "number": -1, "title": ""}


def audit_page(found: Mapping[str, Any]) -> str:
    """A page of an audit, from its data (see ``Audited.to_data``). It needs no script and nothing
    from anywhere else."""
    methods = list(found["methods"])
    known = {frozenset(cell["methods"]): cell for cell in found["cells"]}
    number = {frozenset(cell["methods"]): n for n, cell in enumerate(found["cells"])}
    columns = found["columns"]
    every = [*found["cells"], *(one for part in columns.values() for one in part)]
    every += found["longer"]
    rows = []
    for place, name in enumerate(methods):
        cells = []
        for other in methods[: place + 1]:
            pair = frozenset((name, other))
            cell = known.get(pair)
            verdict = "skipped" if cell is None else cell["verdict"]
            cells.append({
                "verdict": verdict, "sign": _SIGNS[verdict], "number": number.get(pair, -1),
                "title": f"{other} beside {name}: {verdict}",
            })  # fmt: skip
        cells += [_EMPTY] * (len(methods) - place - 1)
        for about, column in columns.items():
            named = [cell for cell in column if cell["methods"][0] == name]
            cells += [_in_column(about, name, cell, every.index(cell)) for cell in named] or [
                _EMPTY
            ]
        rows.append({"name": name, "cells": cells})
    told = [{**cell, "number": n} for n, cell in enumerate(every)]
    return fill(
        "audit.html", style=markup(asset("comparison.css") + asset("audit.css")), found=found,
        rows=rows, methods=[*methods, *columns], told=told,
        missing=sorted(found["missing"].items()),
    )  # fmt: skip


def _in_column(about: str, name: str, cell: Mapping[str, Any], number: int) -> dict[str, Any]:
    verdict = cell["verdict"]
    return {
        "verdict": verdict, "sign": _SIGNS[verdict], "number": number,
        "title": f"{name} {about}: {verdict}",
    }  # fmt: skip
