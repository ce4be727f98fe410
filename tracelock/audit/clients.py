"""Small programs that use an object: some calls before, some of two or more workers, some after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracelock.audit.reading import MethodCall


@dataclass(frozen=True)
class ClientOf:
    """``before``: calls of the setup; ``threads``: those of each worker; ``after``: calls that show
    the state in the end. The calls of workers have numbers, worker by worker."""

    before: tuple[MethodCall, ...]
    threads: tuple[tuple[MethodCall, ...], ...]
    after: tuple[MethodCall, ...] = ()

    @property
    def calls(self) -> list[MethodCall]:
        return [call for thread in self.threads for call in thread]

    @property
    def numbers(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the calls of each worker."""
        found, first = [], 0
        for thread in self.threads:
            found.append(tuple(range(first, first + len(thread))))
            first += len(thread)
        return tuple(found)

    def __str__(self) -> str:
        threads = " || ".join("; ".join(map(str, one)) for one in self.threads if one)
        before = "; ".join(map(str, self.before))
        return f"{before} | {threads}" if before else threads


def orders(threads: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Every order of the numbers that keeps those of each worker as they are."""
    if not any(threads):
        yield ()
    for place, thread in enumerate(threads):
        if thread:
            rest = [*threads[:place], thread[1:], *threads[place + 1 :]]
            for order in orders(rest):
                yield (thread[0], *order)
