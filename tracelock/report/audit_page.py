"""The matrix of an audit as a page: a cell leads to what is known of its two methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracelock.report.templates import asset, fill, markup

#: How a cell is drawn, by its verdict.
_SIGNS: Final = {"verified": "✓", "passed": "·", "failed": "✗", "unfinished": "?", "skipped": ""}


def audit_page(found: Mapping[str, Any]) -> str:
    """A page of an audit, from its data (see ``Audited.to_data``). It needs no script and nothing
    from anywhere else."""
    methods = list(found["methods"])
    known = {frozenset(cell["methods"]): cell for cell in found["cells"]}
    number = {frozenset(cell["methods"]): n for n, cell in enumerate(found["cells"])}
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
        rows.append({"name": name, "cells": cells})
    told = [{**cell, "number": n} for n, cell in enumerate([*found["cells"], *found["longer"]])]
    return fill(
        "audit.html", style=markup(asset("comparison.css") + asset("audit.css")), found=found,
        rows=rows, methods=methods, told=told, missing=sorted(found["missing"].items()),
    )  # fmt: skip
