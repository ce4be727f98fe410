"""Ways through a worker: out of blocks that do something on the way, and where ways meet."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracelock.ops import Layout
from tracelock.scenario.compile.codegen import BasicBlock
from tracelock.scenario.compile.lowering import Lowering
from tracelock.scenario.compile.runtime import Handler
from tracelock.scenario.compile.translate import GlobalNames, NameTable


@dataclass(slots=True, eq=False)
class CleanupRegion:
    """A block that does something on the way out, however it is left.

    ``exits``: where break, continue and stop inside it lead once that is done: a code in the
    handler's slot -> (target, how many regions are left standing). A region without a
    ``handler_block`` of its own for them (``timeout``) lists ``lines`` to pass through instead.
    """

    handler: Handler
    block: BasicBlock
    lines: list[str] | None = None
    exits: list[tuple[BasicBlock, int]] = field(default_factory=list)


class Regions(Lowering):
    """Keeps the regions that are open, and the locals that are set for certain."""

    def __init__(self, layout: Layout, names: NameTable, pool: GlobalNames) -> None:
        super().__init__(layout, names, pool)
        self.end = BasicBlock(None)
        self.regions: list[CleanupRegion] = []

    # --- what is known to be set ---------------------------------------------------------
    def known(self) -> set[str] | None:
        """A copy of the locals that are set for certain here."""
        return None if self.names.certain is None else set(self.names.certain)

    def dead(self) -> None:
        """No way leads on from here."""
        self.names.certain = None
        if not self.indent and not self.direct:
            self.start(self.new())

    def meet(self, one: set[str] | None) -> None:
        """Another way, on which ``one`` are set, leads to here too."""
        here = self.names.certain
        self.names.certain = one if here is None else here if one is None else here & one

    # --- in and out ----------------------------------------------------------------------
    def leave(self, target: BasicBlock, kept: int) -> None:
        """Go to ``target``, out of all regions but the first ``kept``."""
        for region in reversed(self.regions[kept:]):
            if region.lines is not None:
                for text in region.lines:
                    self.line(text)
                continue
            exit_ = (target, kept)
            if exit_ not in region.exits:
                region.exits.append(exit_)
            self.line(f"L[{region.handler.slot}] = {region.exits.index(exit_) + 1}")
            self.goto(region.block)
            return
        self.goto(target)

    def enter(self, lines: list[str] | None = None) -> CleanupRegion:
        """Open a region; what follows is inside it."""
        handler = Handler(self.temporary())
        region = CleanupRegion(handler, BasicBlock(self.handler), lines)
        self.handlers[handler] = region.block
        self.regions.append(region)
        inside = BasicBlock(handler)
        self.goto(inside)
        self.handler = handler
        self.start(inside)
        return region

    def exit(self, region: CleanupRegion, target: BasicBlock) -> None:
        """Close the region: from its normal end, go on at ``target``, outside."""
        self.goto(target)
        self.regions.pop()
        self.handler = region.block.handler

    def onward(self, region: CleanupRegion) -> None:
        """Do what was pending when the region was left in any other way than its end."""
        slot = region.handler.slot
        for code, (target, kept) in enumerate(region.exits, 1):
            this, other = self.new(), self.new()
            self.branch(f"L[{slot}] == {code}", this, other)
            self.start(this)
            self.line(f"L[{slot}] = None")
            self.leave(target, kept)
            self.start(other)
        self.line(f"raise L[{slot}]")
