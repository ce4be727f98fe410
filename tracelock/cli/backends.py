"""``tracelock backends``: what each one can do on this machine."""

from __future__ import annotations

import argparse

from tracelock.cli.output import Output
from tracelock.session import backends_here


def backends_command(options: argparse.Namespace, out: Output) -> int:
    """List the backends: whether they are there, and what they refuse."""
    rows = backends_here()
    if options.json:
        out.json({"backends": rows})
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        here = "yes" if row["available"] else "no "
        out.line(f"{row['name'].ljust(width)}  {here}  {row['note']}".rstrip())
        for feature, reason in row["refuses"].items():
            out.line(f"{' ' * width}       no {feature}: {reason}")
    return 0
