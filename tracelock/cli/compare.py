"""``tracelock compare``: one scenario, all backends side by side."""

from __future__ import annotations

import argparse
from typing import Any

from tracelock.cli.output import Output
from tracelock.cli.progress import progress as progress_bar
from tracelock.cli.run import find_modules
from tracelock.compare import Comparison, compare
from tracelock.report.comparison.page import comparison_html
from tracelock.report.comparison.picture import costs_svg
from tracelock.report.comparison.text import comparison_lines
from tracelock.report.wording import clean
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario
from tracelock.trace.outputs import write_whole


def compare_command(options: argparse.Namespace, out: Output) -> int:
    """Compare as ``options`` say, print it, and write the files that they name.

    0: nothing goes wrong on any backend; 1: something can; 5: nothing was seen to, but the
    comparison is not complete.
    """
    scenario: Scenario = load_scenario(options.scenario)
    find_modules(options)
    backends = None
    if options.backends is not None:
        backends = [name.strip() for name in options.backends.split(",") if name.strip()]
    with progress_bar(out, "comparing") as progress:
        found = compare(
            scenario, backends=backends, runs=options.runs, native=options.native,
            seconds=options.seconds, pythons=options.python,
            switch_intervals=options.switch_interval, allow_call=options.allow_call,
            progress=progress,
        )  # fmt: skip
    if options.output is not None:
        found.save(options.output)
    if options.html is not None:
        write_whole(options.html, [comparison_html(found.data)])
    if options.svg is not None:
        write_whole(options.svg, [costs_svg(found.data), "\n"])
    if options.json:
        out.json(found.data)
    else:
        show(found, options, out)
    if found.failed:
        return 1
    return 0 if found.complete else 5


def show(found: Comparison, options: Any, out: Output) -> None:
    """Print a comparison, and where it was written to."""
    out.lines(comparison_lines(found.data, out.style))
    for name, path in (
        ("comparison", options.output), ("page", options.html), ("picture", options.svg)
    ):  # fmt: skip
        if path is not None:
            out.line(f"\n{name}: {clean(path)}")
