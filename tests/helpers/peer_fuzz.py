"""Small programs of two hosts at random, in the form of ``peer_programs``: two or three workers,
one or two connections or datagrams, few bytes, and the faults that may come in."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.helpers.peer_programs import OTHER, Steps, endings
from tests.oracles.every import Every

#: The faults that may come in where bytes, or datagrams, are sent.
OF_STREAMS = ("partition", "delay", "slow reader", "half-closed", "reset")
OF_DATAGRAMS = ("lost", "doubled", "reordered", "partition")
BYTES = (b"x", b"y", b"zz")


class Drawn(NamedTuple):
    """``faults``: how many of these ``kinds`` a schedule may have."""

    program: list[Steps]
    kinds: tuple[str, ...]
    faults: int
    splits: int


def draw(seed: int, size: int = 4) -> Drawn:
    """A program with up to ``size`` things to do in it. An end of a connection is one worker's: of
    what several do at one, not each order is promised."""
    dice = random.Random(seed)
    datagrams = dice.random() < 0.2
    connections = 0 if datagrams else dice.choice([1, 1, 2])
    hosts = ["a", "b"] if dice.random() < 0.6 else ["a", "b", dice.choice("ab")]
    owners: dict[tuple[str, int], int] = {}
    for host in "ab":
        mine = [number for number, one in enumerate(hosts) if one == host]
        for connection in range(connections):
            owners[host, connection] = dice.choice(mine)
    steps: list[list[tuple[Any, ...]]] = [[] for _ in hosts]
    for _ in range(dice.randint(1, max(1, size // 2))):
        at = dice.randrange(connections or 1)
        here = dice.choice("ab")  # something is sent there, and received at the other end
        for host, act in ((here, _sends), (OTHER[here], _receives)):
            by = owners[host, at] if connections else _any(dice, hosts, host)
            steps[by].append(act(dice, at, connections))
    for _ in range(dice.randint(0, max(0, size - sum(map(len, steps))))):
        dice.choice(steps).append(
            dice.choice([("lock",), ("part",), ("heal",), ("sleep", 5.0), ("sleep", 10.0)])
        )
    for one_workers in steps:
        dice.shuffle(one_workers)
    kinds = OF_DATAGRAMS if datagrams else OF_STREAMS
    few = tuple(dice.sample(kinds, dice.choice([1, 1, 2])))
    return Drawn(
        list(zip(hosts, steps, strict=True)), few, dice.choice([0, 1, 1, 1, 2]),
        dice.choice([0, 0, 1]),
    )  # fmt: skip


def _any(dice: random.Random, hosts: list[str], host: str) -> int:
    return dice.choice([number for number, one in enumerate(hosts) if one == host])


def _sends(dice: random.Random, at: int, connections: int) -> tuple[Any, ...]:
    if not connections:
        return "tell", dice.choice(BYTES)
    if dice.random() < 0.6:
        return "send", at, dice.choice(BYTES)
    return dice.choice(["shut", "close"]), at


def _receives(dice: random.Random, at: int, connections: int) -> tuple[Any, ...]:
    if not connections:
        return "hear", 5.0
    if dice.random() < 0.2:
        return "try", at
    return "receive", at, dice.choice([5.0, 20.0])


def compared(runtime: str, seed: int, most: int = 5_000) -> None:
    """The endings of a drawn program by dpor are those that every order of every choice has."""
    drawn = draw(seed)
    rules: dict[str, Any] = {
        "faults": drawn.faults, "kinds": drawn.kinds, "splits": drawn.splits, "unread": False,
        "schedules": most,
    }  # fmt: skip
    found, explored = endings(runtime, drawn.program, **rules)
    every, all_of_them = endings(runtime, drawn.program, strategy=Every(), **rules)
    assert not explored.stopped and not all_of_them.stopped, (explored, all_of_them)
    assert found == every, drawn
    assert len(found) > 1, drawn
