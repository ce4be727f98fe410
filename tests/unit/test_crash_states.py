"""The states of a disk after a crash: against a brute-force reading of the rules, and by hand.

The oracle shares no code with the model: it keeps what each operation does as functions on a plain
tree of names and bytes, tries every subset of the parts of operations, throws away those in which a
part is lost and a later one of the same thing is not, and plays the others.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.errors import UsageError
from tracelock.instrument.crashes.model import DIRECTORY, FILE, DiskModel, DiskOperation
from tracelock.instrument.crashes.rules import CrashRules, rules_of
from tracelock.instrument.crashes.states import SETS, states_of
from tracelock.trace.crashes import crash_of, cures, told

BLOCK = 4
NAMES = ("a", "b")
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES)),
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.integers(0, 6), st.integers(1, 6)),
    st.tuples(st.just("truncate"), st.sampled_from(NAMES), st.integers(0, 6)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("unlink"), st.sampled_from(NAMES)),
    st.tuples(st.just("fsync"), st.sampled_from(NAMES)),
    st.tuples(st.just("fsync directory")),
)


class ByHand:
    """The oracle: ``parts`` are (things, play), in order; ``certain``: those that are synced."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {"a": 0}
        self.sizes = {0: 5}
        self.files = 1
        self.parts: list[tuple[set[tuple[str, object]], object]] = []
        self.certain: set[int] = set()

    def part(self, things: set[tuple[str, object]], play: object) -> None:
        self.parts.append((things, play))

    def do(self, operation: tuple) -> tuple | None:
        """One operation; what the model is to do, None where the real call would fail."""
        verb, *rest = operation
        name = rest[0] if rest else ""
        if verb == "create":
            if name in self.names:
                return None
            number = self.names[name] = self.files
            self.sizes[number], self.files = 0, self.files + 1
            self.part({("name", name)}, lambda disk: disk["names"].__setitem__(name, number))
        elif verb == "fsync directory":
            self.sync("name")
        elif name not in self.names:
            return None
        elif verb == "write":
            offset, length = rest[1:]
            self.write(self.names[name], offset, bytes([len(self.parts) % 200 + 1]) * length)
        elif verb == "truncate":
            self.cut(self.names[name], rest[1])
        elif verb == "rename":
            self.move(name, rest[1])
        elif verb == "unlink":
            del self.names[name]
            self.part({("name", name)}, lambda disk: disk["names"].pop(name, None))
        else:
            self.sync(self.names[name])
        return operation

    def write(self, number: int, offset: int, data: bytes) -> None:
        for start in range(offset - offset % BLOCK, offset + len(data), BLOCK):
            low, high = max(start, offset), min(start + BLOCK, offset + len(data))
            if high > self.sizes[number]:
                self.sizes[number] = high
                self.part({("size", number)}, lambda d, h=high: d["sizes"].update({number: h}))
            self.part(
                {("block", (number, start))},
                lambda d, low=low, high=high: [
                    d["bytes"].update({(number, n): data[n - offset]}) for n in range(low, high)
                ],
            )

    def cut(self, number: int, size: int) -> None:
        blocks = {("block", (number, start)) for start in range(size - size % BLOCK, 16, BLOCK)}
        self.sizes[number] = size

        def play(disk: dict) -> None:
            disk["sizes"][number] = size
            for place in range(size, 20):
                disk["bytes"].pop((number, place), None)

        self.part({("size", number), *blocks}, play)

    def move(self, source: str, target: str) -> None:
        if source == target:
            return
        number = self.names[target] = self.names.pop(source)

        def play(disk: dict) -> None:
            disk["names"].pop(source, None)
            disk["names"][target] = number

        self.part({("name", source), ("name", target)}, play)

    def sync(self, what: object) -> None:
        wanted = {
            place for place, (things, _) in enumerate(self.parts)
            if any(
                kind == "name" if what == "name" else kind != "name" and
                (thing == what or (isinstance(thing, tuple) and thing[0] == what))
                for kind, thing in things
            )
        }  # fmt: skip
        for place in sorted(wanted, reverse=True):
            wanted |= {
                other for other in range(place) if self.parts[other][0] & self.parts[place][0]
            }
        self.certain |= wanted

    def states(self) -> set[frozenset]:
        found = set()
        for kept in product((False, True), repeat=len(self.parts)):
            if any(place in self.certain and not there for place, there in enumerate(kept)):
                continue
            if any(
                kept[later] and not kept[place] and self.parts[later][0] & self.parts[place][0]
                for later in range(len(kept)) for place in range(later)
            ):  # fmt: skip
                continue
            disk: dict = {
                "names": {"a": 0}, "sizes": {0: 5}, "bytes": dict.fromkeys(
                    ((0, place) for place in range(5)), 255
                ),
            }  # fmt: skip
            for there, (_, play) in zip(kept, self.parts, strict=True):
                if there:
                    play(disk)  # type: ignore[operator]
            found.add(frozenset(
                (name, bytes(
                    disk["bytes"].get((number, place), 0)
                    for place in range(disk["sizes"].get(number, 0))
                ))
                for name, number in disk["names"].items()
            ))  # fmt: skip
        return found


class Modelled:
    """The model, driven by the same operations."""

    def __init__(self) -> None:
        self.model = DiskModel(BLOCK)
        self.root = self.model.roots["/d"] = self.model.node(DIRECTORY)
        for name in NAMES:
            self.model.known(("entry", self.root, name), None)
        self.model.known(("entry", self.root, "a"), self.model.file(b"\xff" * 5))

    def entry(self, name: str) -> int:
        number: int = self.model.volatile[("entry", self.root, name)]
        return number

    def do(self, operation: tuple, part: int) -> None:
        model, (verb, *rest) = self.model, operation
        told_as = DiskOperation(" ".join(map(str, operation)))
        name = rest[0] if rest else ""
        key = ("entry", self.root, name)
        if verb == "create":
            model.change(told_as, {key: model.node(FILE)})
        elif verb == "fsync directory":
            model.sync_directory(self.root)
        elif verb == "write":
            model.write(told_as, self.entry(name), rest[1], bytes([part % 200 + 1]) * rest[2])
        elif verb == "truncate":
            model.truncate(told_as, self.entry(name), rest[1])
        elif verb == "rename":
            if name != rest[1]:
                target = ("entry", self.root, rest[1])
                model.change(told_as, {target: self.entry(name), key: None})
        elif verb == "unlink":
            model.change(told_as, {key: None})
        else:
            model.sync_file(self.entry(name))

    def states(self) -> tuple[list[frozenset], bool]:
        states, complete = states_of(self.model, 100_000)
        return [
            frozenset(
                (path.removeprefix("/d/"), content)
                for path, (_, content) in self.model.seen(one.values).items()
            )
            for one in states
        ], complete


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATIONS, max_size=6))
def test_the_states_are_those_that_the_rules_allow(operations: list[tuple]) -> None:
    by_hand, modelled = ByHand(), Modelled()
    for operation in operations:
        if len(by_hand.parts) > 8:
            break
        part = len(by_hand.parts)
        if by_hand.do(operation) is not None:
            modelled.do(operation, part)
    found, complete = modelled.states()
    assert complete
    assert len(found) == len(set(found)), "a state is told twice"
    assert set(found) == by_hand.states()


def test_nothing_is_lost_in_the_first_state_and_then_ever_more() -> None:
    modelled = Modelled()
    for place, one in enumerate((("create", "b"), ("write", "b", 0, 3), ("rename", "b", "a"))):
        modelled.do(one, place)
    states, complete = states_of(modelled.model, 256)
    assert complete
    assert not states[0].lost
    counts = [len({id(change.operation) for change in one.lost}) for one in states]
    assert counts == sorted(counts)


def test_of_a_write_over_several_blocks_any_part_may_be_there() -> None:
    modelled = Modelled()
    modelled.do(("write", "a", 0, 8), 0)
    found, _ = modelled.states()
    contents = {dict(one)["a"] for one in found}
    old, new = b"\xff", b"\x01"
    assert new * 8 in contents
    assert new * 4 + old in contents  # the second block is lost, and with it that it grew
    assert old * 5 in contents
    assert old * 4 + new * 4 in contents
    assert new * 4 + old + bytes(3) in contents  # it grew, and what is there was not written


def test_more_states_than_asked_for_are_not_all() -> None:
    modelled = Modelled()
    modelled.do(("write", "a", 0, 8), 0)
    states, complete = states_of(modelled.model, 2)
    assert len(states) == 2
    assert not complete


def test_of_very_many_changes_some_states_are_taken_and_it_is_said() -> None:
    modelled = Modelled()
    modelled.do(("create", "b"), 0)
    for place in range(40):
        modelled.do(("write", "b" if place % 2 else "a", 4 * place, 4), place)
    states, complete = states_of(modelled.model, 256)
    assert not complete
    assert len(states) == 256 < SETS
    assert not states[0].lost
    assert len({frozenset(modelled.model.seen(one.values).items()) for one in states}) == 256


def test_a_long_write_goes_in_pieces_and_is_not_claimed_to_be_tried_in_all() -> None:
    modelled = Modelled()
    modelled.do(("write", "a", 0, 400), 0)
    _, complete = states_of(modelled.model, 256)
    assert not complete
    assert modelled.model.seen(modelled.model.volatile)["/d/a"] == (FILE, b"\x01" * 400)


@pytest.mark.parametrize("given", [5, {"depth": 1}, {"states": 0}, {"states": 257}, {"block": "x"}])
def test_what_is_no_rule_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match="crash_consistency"):
        rules_of(given)  # type: ignore[arg-type]


def test_rules_are_kept_by_a_trace() -> None:
    rules = rules_of({"states": 7, "block": 64})
    assert CrashRules.of_table(rules.to_table()) == rules
    assert CrashRules.of_table({}) == CrashRules() == rules_of(False)
    with pytest.raises(UsageError, match="crash_consistency"):
        CrashRules.of_table({"states": "many"})


def test_what_a_crash_tells_is_read_again() -> None:
    lost = ["the rename of a.tmp to a (event 2)", "the 9 bytes written to a.tmp at 0 (event 1)"]
    durable = ["the new name a.tmp (event 0)"]
    found = crash_of(told(lost, durable))
    assert found is not None
    assert list(found.lost) == lost
    assert list(found.durable) == durable
    nothing = crash_of(told([], durable))
    assert nothing is not None
    assert not nothing.lost
    assert crash_of("no crash") is None
    assert crash_of(7) is None


@pytest.mark.parametrize(
    ("lost", "cure"),
    [
        ("the rename of a.tmp to a (event 2)", "after the rename open the directory of a "),
        ("the new name a (event 2)", "open the directory of a "),
        ("the removal of a", "open the directory of a "),
        ("bytes 512 to 520 of the 40 bytes written to a at 0", "os.fsync on a,"),
        ("the growth of a to 9 bytes (event 1)", "os.fsync on a,"),
        ("the emptying of a (event 1)", "os.fsync on a,"),
        ("the cut of a to 0 bytes", "os.fsync on a,"),
    ],
)
def test_each_kind_of_loss_has_a_cure(lost: str, cure: str) -> None:
    found = cures([lost])
    assert len(found) == 1
    assert cure in found[0]


def test_one_byte_has_a_cure_too() -> None:
    assert cures(["the 1 byte written to a at 0 (event 1)"]) == cures(
        ["the 2 bytes written to a at 0 (event 1)"]
    )
