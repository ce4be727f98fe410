"""A campaign around its turns: whose turn it is, what is new, and what a kill leaves behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.campaign import folder as folders
from tracelock.campaign.contenders import Contender, Rule
from tracelock.campaign.folder import CampaignFolder, Corpus, SubjectRecord
from tracelock.campaign.found import PROGRAM, PYTHON, SCENARIO, CampaignSubject, subjects
from tracelock.campaign.running import Campaign, Campaigned, HowToCampaign
from tracelock.campaign.turns import (
    EXHAUSTIVE,
    FIRST,
    LONGER,
    MUTATING,
    FoundFailure,
    Turn,
    TurnResult,
)
from tracelock.cli.campaign import status_of
from tracelock.errors import UsageError
from tracelock.ops import ACQUIRE, READ, RELEASE, WRITE, Op
from tracelock.schedulers.mutating import MOST, MutatingScheduler
from tracelock.schedulers.novelty import Novelty, pairs_in
from tracelock.testing import check_scheduler

LOST = ("failed", "finally", "finally[0]", ())
STUCK = ("deadlock", None, None, ("a", "b"))


class Prepared(Executor):
    """Gives for each turn what ``answer`` says, at once; Ctrl-C comes after ``most``."""

    def __init__(self, answer: Callable[[Turn], TurnResult], most: int = 1_000) -> None:
        self.answer = answer
        self.most = most
        self.turns: list[Turn] = []

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        if len(self.turns) == self.most:
            raise KeyboardInterrupt
        self.turns.append(given[0])
        future: Future[Any] = Future()
        future.set_result(self.answer(given[0]))
        return future


def run(
    path: Path, answer: Callable[[Turn], TurnResult], *names: str, most: int = 1_000, **how: Any
) -> tuple[Campaigned, Prepared]:
    executor = Prepared(answer, most)
    found = [CampaignSubject(name, SCENARIO, "ab12") for name in names or ("one.yaml",)]
    with CampaignFolder(str(path)) as folder:
        done = Campaign(folder, found, HowToCampaign(1e6, executor=executor, **how)).run()
    return done, executor


def fails(*identities: Any) -> Callable[[Turn], TurnResult]:
    """Every turn comes to these failures, and searches everything."""

    def answer(turn: Turn) -> TurnResult:
        found = [
            FoundFailure(one, "why", 1, "" if one in turn.known else "the trace", "3/3")
            for one in identities
        ]
        gone = [number for number, _ in turn.tried if not identities]
        return TurnResult("failed" if found else "verified", True, 10, found, gone)

    return answer


# --- new and old -----------------------------------------------------------------------------
def test_what_is_new_is_known_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    first, _ = run(path, fails(LOST))
    assert ([one.identity for one in first.new], first.again, first.stopped) == ([LOST], [], "")
    assert status_of(first) == 1
    assert (path / first.new[0].trace).read_text() == "the trace"
    second, executor = run(path, fails(LOST, STUCK))
    assert [one.identity for one in second.new] == [STUCK]
    assert [one.identity for one in second.again] == [LOST]
    assert executor.turns[0].tried == ((0, "the trace"),)
    assert executor.turns[0].known == {LOST}
    third, _ = run(path, fails(LOST, STUCK))
    assert (third.new, len(third.again), third.number) == ([], 2, 3)
    assert status_of(third) == 0


def test_what_was_gone_and_is_back_is_new(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    run(path, fails(LOST))
    mended, _ = run(path, fails())
    assert ([one.identity for one in mended.gone], status_of(mended)) == ([LOST], 0)
    still, _ = run(path, fails())
    assert (still.gone, status_of(still)) == ([], 0)
    back, _ = run(path, fails(LOST))
    assert ([one.identity for one in back.new], status_of(back)) == ([LOST], 1)
    assert back.new[0].first == 1


def test_what_a_scenario_expects_is_not_new(tmp_path: Path) -> None:
    subject = CampaignSubject(
        "one.yaml", SCENARIO, "ab12", backend="threading", expected=("deadlock",)
    )
    with CampaignFolder(str(tmp_path)) as folder:
        how = HowToCampaign(1e6, executor=Prepared(fails(STUCK, LOST)))
        done = Campaign(folder, [subject], how).run()
    assert [one.identity for one in done.expected] == [STUCK]
    assert [one.identity for one in done.new] == [LOST]


def test_the_same_failure_of_two_subjects_is_two(tmp_path: Path) -> None:
    done, _ = run(tmp_path, fails(LOST), "a.yaml", "b.yaml")
    assert [one.subject for one in done.new] == ["a.yaml", "b.yaml"]
    assert len({one.trace for one in done.new}) == 2


@pytest.mark.parametrize(
    ("result", "status", "searched"),
    [
        (TurnResult("verified", True), 0, True),
        (TurnResult(problem="cannot import it"), 5, False),
        (TurnResult(problem="contradiction", internal=True), 4, False),
        (TurnResult("passed", stuck="a worker does not end"), 5, False),
    ],
)
def test_the_status_claims_no_more_than_was_searched(
    result: TurnResult, status: int, searched: bool, tmp_path: Path
) -> None:
    done, _ = run(tmp_path, lambda turn: result)
    assert (status_of(done), done.whole, done.turns) == (status, searched, 1)


def test_code_is_left_out_unless_it_is_allowed(tmp_path: Path) -> None:
    found = [CampaignSubject("a.py", PROGRAM, "1"), CampaignSubject("b.yaml", PYTHON, "2")]
    executor = Prepared(fails())
    with CampaignFolder(str(tmp_path)) as folder:
        done = Campaign(folder, found, HowToCampaign(1e6, executor=executor)).run()
    assert (executor.turns, status_of(done)) == ([], 5)
    assert all("--allow-call" in one.over for one in done.contenders)


# --- killed at any time ----------------------------------------------------------------------
class Killed(BaseException):
    pass


def test_a_kill_at_any_write_leaves_what_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are whole, the state names only traces there are, and what the next campaign finds
    besides is what was not known."""

    def answer(turn: Turn) -> TurnResult:
        result = fails((*LOST[:2], turn.subject.name, ()))(turn)
        result.added, result.checkpoint = [[0, 1, 1]], '{"a": 1}'
        result.exhausted = turn.kind == EXHAUSTIVE
        return result

    write, writes, last = folders.write_whole, 0, 0

    def until(path: Any, parts: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == last:
            raise Killed
        return write(path, parts)

    names = ("a.yaml", "b.yaml", "c.yaml")
    monkeypatch.setattr(folders, "write_whole", until)
    over = False
    while not over:
        last, writes = last + 1, 0
        path = tmp_path / str(last)
        try:
            run(path, answer, *names)
            over = True
        except Killed:
            pass
        limit, last = last, 0
        with CampaignFolder(str(path)) as folder:
            known = {one.subject for one in folder.failures}
            assert all(folder.trace_of(one) == "the trace" for one in folder.failures)
            for name in names:
                assert folder.corpus(name, "ab12").prefixes in ([], [[0, 1, 1]])
        done, _ = run(path, answer, *names)
        assert {one.subject for one in done.new} | known == set(names)
        assert not {one.subject for one in done.new} & known
        last = limit
    assert last > 10


def test_an_interrupt_keeps_what_came_back(tmp_path: Path) -> None:
    done, _ = run(tmp_path, fails(LOST), "a.yaml", "b.yaml", most=1)
    assert (done.stopped, [one.subject for one in done.new]) == ("interrupted", ["a.yaml"])
    again, _ = run(tmp_path, fails(LOST), "a.yaml", "b.yaml")
    assert [one.subject for one in again.new] == ["b.yaml"]


# --- the folder ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"format": "tracelock-campaign/1"}', "{" * 100_000,
        '{"format": "tracelock-campaign/1", "campaigns": 1, "subjects": {"a": 1}, "failures": []}',
        '{"format": "tracelock-campaign/1", "campaigns": 1, "subjects": {}, "failures": [{}]}',
    ],
)  # fmt: skip
def test_what_is_no_state_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "campaign.json").write_text(text)
    with pytest.raises(UsageError, match=r"campaign\.json"), CampaignFolder(str(tmp_path)):
        pass
    assert (tmp_path / "campaign.json").read_text() == text


def test_what_is_no_corpus_is_none(tmp_path: Path) -> None:
    with CampaignFolder(str(tmp_path)) as folder:
        folder.keep_corpus("a", Corpus("ab", [[1, 2], [0]], {"p": 1}, 3, 0.5))
        file = next((tmp_path / "corpus").iterdir())
        assert folder.corpus("a", "ab") == Corpus("ab", [[1, 2], [0]], {"p": 1}, 3, 0.5)
        assert folder.corpus("a", "cd") == Corpus("cd", [[1, 2], [0]])
        for text in ("", "[1]", '{"prefixes": 1}', '{"prefixes": [["x"]]}', "\udcff"):
            file.write_text(text, errors="surrogateescape")
            assert folder.corpus("a", "ab") == Corpus("ab")


def test_a_trace_is_looked_for_in_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "kept"
    run(path, fails(LOST))
    state = json.loads((path / "campaign.json").read_text())
    for name in ("../secret", str(tmp_path / "secret"), "failures/../../secret", "campaign.json"):
        state["failures"][0]["trace"] = name
        (path / "campaign.json").write_text(json.dumps(state))
        with CampaignFolder(str(path)) as folder:
            assert folder.trace_of(folder.failures[0]) is None


def test_two_campaigns_do_not_share_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        CampaignFolder(str(tmp_path)),
        pytest.raises(UsageError, match="another campaign"),
        CampaignFolder(str(tmp_path)),
    ):
        pass


def test_another_file_begins_anew_but_its_corpus(tmp_path: Path) -> None:
    def answer(turn: Turn) -> TurnResult:
        return TurnResult("passed", counts={"p": 1}, observed=1, added=[[1]])

    run(tmp_path, answer, most=2)
    with CampaignFolder(str(tmp_path)) as folder:
        assert folder.corpus("one.yaml", "ab12").counts == {"p": 2}
        how = HowToCampaign(1e6, executor=Prepared(answer, 1))
        made = Campaign(folder, [CampaignSubject("one.yaml", SCENARIO, "cd34")], how).contenders[0]
        assert made.corpus == Corpus("cd34", [[1]])


# --- whose turn it is ------------------------------------------------------------------------
def contender(name: str, once: int, hunted: float = 1.0, kind: str = SCENARIO) -> Contender:
    counts = {f"{name}{number}": 1 for number in range(once)}
    corpus = Corpus("ab", [], counts, 10, hunted)
    return Contender(CampaignSubject(name, kind, "ab"), SubjectRecord("ab"), corpus)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.integers(1, 25))
def test_each_gets_half_of_an_equal_share(once: list[int], rounds: int) -> None:
    all_ = [contender(f"{place}", count) for place, count in enumerate(once)]
    rule = Rule(all_)
    for _ in all_:
        assert _give(rule) == FIRST
    for _ in range(rounds * len(all_)):
        _give(rule)
    least = min(one.spent for one in all_)
    total = sum(one.spent for one in all_)
    longest = 2 * max(one.longer + 2 * rule.turn for one in all_)
    assert least >= total / len(all_) / 2 - longest
    best = max(all_, key=lambda one: one.corpus.rate)  # the rest goes where most is to be expected
    assert (
        once.count(max(once)) > 1 or best.spent >= total / len(all_) / 2 + total / 2 - 2 * longest
    )


def _give(rule: Rule) -> str:
    chosen = rule.next()
    assert chosen is not None
    one, kind, seconds = chosen
    one.turns += 1
    one.spent += seconds
    return kind


def test_all_have_a_turn_before_any_has_two() -> None:
    all_ = [contender(name, 100 * place) for place, name in enumerate("abc")]
    rule = Rule(all_)
    kinds = [_give(rule) for _ in all_]
    assert (kinds, [one.turns for one in all_]) == ([FIRST] * 3, [1] * 3)
    all_[0].over = "verified"
    for _ in range(6):
        _give(rule)
    assert all_[0].turns == 1


def test_what_is_long_has_its_time_and_no_more_than_a_third() -> None:
    """Of each kind some; the longer ones are at most a third of what was spent."""
    for kind in (SCENARIO, PROGRAM):
        one = contender("a", 1, kind=kind)
        one.turns = 1
        rule = Rule([one])
        spent = Counter[str]()
        for _ in range(200):
            chosen = rule.next()
            assert chosen is not None
            _, chosen_kind, seconds = chosen
            one.turns += 1
            one.spent += seconds
            spent[chosen_kind] += int(seconds)
        assert spent[LONGER] and spent[LONGER] <= sum(spent.values()) / 3
        assert spent[MUTATING] and (kind == PROGRAM) == (not spent[EXHAUSTIVE])


def test_nobody_is_given_a_turn_that_is_being_taken() -> None:
    one, other = contender("a", 1), contender("b", 5)
    rule = Rule([one, other])
    for each in (one, other):
        assert rule.next() == (each, FIRST, rule.turn)
        each.flying = 1
    assert rule.next() is None  # what they are is known when they have had one


# --- what there is to search -----------------------------------------------------------------
GOOD = "format: tracelock-scenario/1\nname: a\nshared: {n: 0}\nworkers: {w: {steps: [read: n]}}\n"


def test_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "deep" / "__init__.py").write_text("")
    for name, text in {
        "a.yaml": GOOD, "deep/er/b.yml": GOOD + "expect: {asyncio: passes, threading: fails}\n",
        ".hidden/c.yaml": GOOD, "other.yaml": "a: 1\n", "bad.yaml": GOOD + "nonsense: 1\n",
        "trace.json": '{"format": "tracelock-trace/1", "scenario": "tracelock-scenario/1"}',
        "deep/p.py": "raise SystemExit\nworkers = []\n", "q.py": "def workers(): ...\n",
        "r.py": "from deep.p import setup, workers\n",
        "broken.py": "workers = [\n", "text.txt": GOOD,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    found = {one.name: one for one in subjects(str(tmp_path))}
    names = ["a.yaml", "bad.yaml", "deep/er/b.yml [asyncio]", "deep/er/b.yml [threading]"]
    assert sorted(found) == [*names, "deep/p.py", "r.py"]
    assert found["deep/er/b.yml [threading]"].expected == ("failed", "crashed")
    assert "nonsense" in found["bad.yaml"].problem
    program = found["deep/p.py"]
    assert (program.kind, program.module, program.root) == (PROGRAM, "deep.p", str(tmp_path))


def test_modules_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.py").write_text("workers = []\n")
    one, other = subjects(str(tmp_path))
    assert not one.problem and "like that of a/p.py" in other.problem


def test_nothing_to_search(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to search"):
        subjects(str(tmp_path))
    with pytest.raises(UsageError, match="no folder"):
        subjects(str(tmp_path / "none"))


# --- schedules made from others --------------------------------------------------------------
@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    steps = st.tuples(
        st.integers(0, 2), st.sampled_from([READ, WRITE, ACQUIRE, RELEASE]), st.integers(0, 2),
        st.sampled_from("xy"),
    )  # fmt: skip
    return [
        (worker, kind, Op(kind, thing if kind in (READ, WRITE) else thing + 3, at), None, None, 0.0)
        for worker, kind, thing, at in draw(st.lists(steps, max_size=20))
    ]


@settings(max_examples=60)
@given(logs())
def test_a_pair_is_a_step_and_who_changed_that_thing_last(log: list[Any]) -> None:
    wanted: dict[Any, int] = {}
    for here, (worker, kind, op, *_) in enumerate(log):
        for there in reversed(range(here)):
            other, others_kind, others_op, *_ = log[there]
            if others_op.target == op.target and others_kind != READ:
                if other != worker:
                    wanted.setdefault(((others_op.at, others_kind), (op.at, kind)), here)
                break
    assert pairs_in(log) == wanted
    novelty = Novelty()
    assert novelty.take(log) == max(wanted.values(), default=-1)
    assert (novelty.new, novelty.once, novelty.schedules) == (len(wanted), len(wanted), 1)
    assert novelty.take(log) == -1
    assert novelty.once == 0


@pytest.mark.parametrize("corpus", [[], [[0, 1, 0, 1, 1], [1, 0], [1] * 60]])
def test_it_keeps_to_the_contract(corpus: list[list[int]]) -> None:
    check_scheduler(lambda seed: MutatingScheduler(seed, corpus))


def test_the_corpus_stays_small() -> None:
    scheduler = MutatingScheduler(1)
    for number in range(3 * MOST):
        scheduler.keep([number % (2 * MOST), number // 7])
    assert len(scheduler.corpus) == MOST
    before = len(scheduler.added)
    scheduler.keep(scheduler.corpus[0].picks)
    assert len(scheduler.added) == before
