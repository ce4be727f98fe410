"""Static checks: names, types, counts, locals; what is certain is told, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.helpers.scenario_strategies import scenarios
from tracelock.scenario.checks.scenario import check_scenario
from tracelock.scenario.checks.steps import MAX_NESTING
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.verbs import With
from tracelock.scenario.loading import scenario_from_data

OBJECTS: dict[str, Any] = {
    "m": "lock",
    "r": "rlock",
    "two": {"type": "lock", "count": 2},
    "s": {"type": "semaphore", "value": 2},
    "c": "condition",
    "e": "event",
    "b": {"type": "barrier", "parties": 2},
    "q": "queue",
}


def scenario(*steps: Any, **more: Any) -> Scenario:
    data: dict[str, Any] = {
        "name": "x",
        "shared": {"v": 0, "a": [1, 2, 3], "text": "abc", "none": None},
        "objects": OBJECTS,
        "workers": {
            "w": {"steps": list(steps)},
            "pair": {"count": 2, "steps": []},
            "late": {"start": "manual", "count": 3, "steps": []},
        },
    }
    return Scenario.model_validate({**data, **more})


def found(*steps: Any, **more: Any) -> list[str]:
    problems = check_scenario(scenario(*steps, **more))
    assert all(problem.line == 0 for problem in problems)
    return [f"{problem.path}: {problem.message}" for problem in problems]


def one(*steps: Any, **more: Any) -> str:
    problems = found(*steps, **more)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    "steps",
    [
        [{"acquire": "two[index]"}, {"release": "two[v]"}, {"with": "s", "do": []}],
        [{"acquire": "c"}, {"wait": "c", "until": "v > 0"}, {"notify": "c", "all": True}],
        [{"wait": "e"}, {"wait": "b"}, {"set": "e"}, {"clear": "e"}],
        [{"put": "q", "value": "[v, 1]"}, {"get": "q", "into": "x"}, {"write": "v", "value": "x"}],
        [{"release": "s", "n": 3}, {"release": "m"}],
        [{"read": "a[-1]"}, {"write": "a[2]", "value": "a[-3] + len(a) + sum(a)"}],
        [{"assert": "text[0] == 'a' or none[0]"}],
        [{"spawn": "late"}, {"spawn": "late[2]"}, {"join": "late"}, {"join": "pair[1]"}],
        [{"join": "w"}, {"cancel": "pair"}],
        [{"let": {"i": 1, "j": "i"}}, {"let": {"i": "j"}}],
        # A loop comes round: the second round finds what the first has set.
        [{"repeat": 2, "do": [{"if": "v", "then": [{"let": {"k": "x"}}]}, {"let": {"x": 1}}]}],
        [{"let": {"i": 0}}, {"while": "i == 0 or ok", "do": [{"let": {"i": 1, "ok": False}}]}],
        [{"repeat": 2, "index": "i", "do": [{"let": {"j": "i"}}]}, {"let": {"k": "i + j"}}],
        [{"if": "v", "then": [{"let": {"x": 1}}]}, {"write": "v", "value": "x"}],
        [{"if": "v", "then": [], "else": [{"let": {"x": 1}}]}, {"write": "v", "value": "x"}],
        [{"try": [{"let": {"x": 1}}], "finally": [{"write": "v", "value": "x"}]}],
        [{"timeout": 1, "do": [{"let": {"x": 1}}], "into": "y"}, {"assert": "x and y"}],
        [{"while": True, "do": [{"try": ["break"], "finally": ["continue"]}]}],
        [{"atomic": [{"if": "v", "then": [{"let": {"x": 1}}]}, {"assert": "x"}]}],
        [{"let": {"m": 1, "w": 2, "max": 3}}, {"assert": "m + w == max(max, 3)"}],
        [{"sleep": "0.01 * (index + 1)"}, {"repeat": "count", "do": []}, {"notify": "c", "n": 0}],
        [{"call": "pkg.mod:Class.method", "args": ["v", 1], "into": "x"}, {"assert": "x"}],
        [{"acquire": "m", "timeout": None}, {"acquire": "m", "timeout": "v"}],
    ],
)
def test_nothing_wrong(steps: list[Any]) -> None:
    assert found(*steps) == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        # references
        ({"acquire": "n"}, '.acquire: unknown object "n"'),
        ({"acquire": "tow[0]"}, '.acquire: unknown object "tow" (did you mean "two"?)'),
        ({"acquire": "v"}, '.acquire: "v" is a shared variable, and an object belongs here'),
        ({"acquire": "two"}, '.acquire: "two" is an array of 2: name one, as in "two[0]"'),
        ({"acquire": "m[0]"}, '.acquire: "m" is not an array: write "m" alone'),
        ({"acquire": "two[2]"}, '.acquire: "two" has no element 2: there are 0 to 1'),
        ({"acquire": "two[-3]"}, '.acquire: "two" has no element -3: there are 0 to 1'),
        ({"acquire": "two['x']"}, '.acquire: the index of "two" must be a whole number'),
        ({"acquire": "two[i]"}, '.acquire: unknown name "i"'),
        ({"acquire": "my-lock"}, '.acquire: a name or name[index] belongs here, not "my-lock"'),
        ({"acquire": "two[0"}, '.acquire: this cannot be read as an expression near "[0"'),
        ({"read": "m"}, '.read: "m" is a lock, and a shared variable belongs here'),
        ({"read": "a"}, '.read: "a" is an array of 3: name one, as in "a[0]"'),
        ({"write": "v[0]", "value": 1}, '.write: "v" is not an array: write "v" alone'),
        ({"read": "txt"}, '.read: unknown shared variable "txt" (did you mean "text"?)'),
        ({"spawn": "pair"}, "declare it with start: manual to spawn it"),
        ({"spawn": "lat"}, '.spawn: unknown worker "lat" (did you mean "late"?)'),
        ({"spawn": "late[3]"}, '.spawn: "late" has no element 3: there are 0 to 2'),
        ({"join": "w[0]"}, '.join: "w" is not an array'),
        ({"join": "m"}, '.join: "m" is a lock, and a worker belongs here'),
        # verbs and types
        ({"wait": "m"}, '.wait: wait does not apply to "m", a lock (use acquire, release or with)'),
        ({"acquire": "e"}, 'acquire does not apply to "e", an event (use wait, set or clear)'),
        ({"put": "b", "value": 1}, 'put does not apply to "b", a barrier (use wait)'),
        ({"notify": "q"}, 'notify does not apply to "q", a queue (use put or get)'),
        ({"set": "s"}, 'set does not apply to "s", a semaphore'),
        ({"wait": "e", "until": "v"}, ".until: until is for conditions only"),
        ({"release": "m", "n": 2}, ".n: n is for semaphores only"),
        ({"notify": "c", "n": 2, "all": True}, ".n: notify takes n or all: true, not both"),
        ({"acquire": "m", "blocking": False, "timeout": 1}, ".timeout: with blocking: false"),
        ({"if": "v"}, 'missing key "then" (if needs it)'),
        ({"call": "os.system"}, '.call: "module:function" belongs here, not "os.system"'),
        # expressions
        ({"write": "v", "value": "v +"}, "it ends too early"),
        ({"write": "v", "value": "w + 1"}, '.value: "w" is a worker, which has no value'),
        ({"write": "v", "value": "max + 1"}, '.value: "max" is a function: write max(...)'),
        ({"write": "v", "value": "cuont"}, 'unknown name "cuont" (did you mean "count"?)'),
        ({"write": "v", "value": "v[0]"}, '.value: "v" is one variable, not an array'),
        ({"write": "v", "value": "a[3]"}, '.value: "a" has no element 3: there are 0 to 2'),
        ({"write": "v", "value": "a[1.5]"}, 'the index of "a" must be a whole number'),
        ({"call": "m:f", "args": [1, "x"]}, '.args[1]: unknown name "x"'),
        # locals
        ({"read": "v", "into": "a"}, '.into: "a" is a shared variable: a local needs another name'),
        ({"read": "v", "into": "index"}, '.into: "index" has a meaning of its own'),
        ({"read": "v", "into": "2x"}, '.into: "2x" is not a name'),
        ({"read": "v", "into": "true"}, '.into: "true" is a word of the language'),
        ({"let": {"if": 1}}, '.let.if: "if" is a word of the language'),
        ({"repeat": 1, "do": [], "index": "count"}, '.index: "count" has a meaning of its own'),
        # constants
        ({"repeat": -1, "do": []}, ".repeat: repeat must be 0 or more, not -1"),
        ({"repeat": 1.5, "do": []}, ".repeat: a whole number belongs here, not 1.5"),
        ({"repeat": True, "do": []}, ".repeat: a whole number belongs here, not true"),
        ({"repeat": "'x'", "do": []}, ".repeat: a whole number belongs here, not a text"),
        ({"release": "s", "n": 0}, ".n: n must be 1 or more, not 0"),
        ({"sleep": -1}, ".sleep: sleep must be 0 or more, not -1"),
        ({"sleep": "-0.5"}, ".sleep: sleep must be 0 or more, not -0.5"),
        ({"sleep": None}, ".sleep: a number belongs here, not nothing (null)"),
        ({"wait": "e", "timeout": True}, ".timeout: a number belongs here, not true"),
        ({"timeout": None, "do": []}, ".timeout: a number belongs here, not nothing (null)"),
        # places
        ("break", "break stands outside of while and repeat"),
        ({"with": "m", "do": ["continue"]}, ".do[0]: continue stands outside"),
        ({"atomic": [{"acquire": "m"}]}, ".atomic[0]: atomic holds only read, write, let, if and"),
        ({"atomic": [{"if": "v", "then": ["checkpoint"]}]}, ".then[0]: atomic holds only"),
    ],
)
def test_one_thing_wrong_in_a_step(step: Any, message: str) -> None:
    problem = one(step)
    assert problem.startswith("workers.w.steps[0]") and message in problem, problem


@pytest.mark.parametrize(
    "steps",
    [
        [{"write": "v", "value": "x"}, {"let": {"x": 1}}],
        [{"let": {"y": "x", "x": 1}}],
        [{"while": "not x", "do": [{"let": {"x": True}}]}],
        [{"if": "v", "then": [{"let": {"x": 1}}], "else": [{"write": "v", "value": "x"}]}],
        [{"repeat": "x", "do": [{"let": {"x": 1}}]}],
        [{"compare_exchange": "v", "expect": "x", "value": 1, "into": "x"}],
        [{"timeout": 1, "do": [{"assert": "x"}], "into": "x"}],
        [{"acquire": "two[x]"}, {"let": {"x": 1}}],
    ],
)
def test_a_local_that_nothing_sets_before(steps: list[Any]) -> None:
    assert 'the local "x" is read before any step sets it' in one(*steps)


def test_locals_belong_to_their_worker() -> None:
    workers = {
        "w": {"steps": [{"let": {"x": 1}}]},
        "u": {"steps": [{"write": "v", "value": "x"}]},
    }
    assert one(workers=workers) == 'workers.u.steps[0].value: unknown name "x"'


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"format": "tracelock-scenario/2"}, "format: unknown format"),
        ({"name": " "}, "name: a name belongs here"),
        ({"workers": {}}, "workers: there must be at least one worker"),
        ({"shared": {"2x": 0}}, 'shared["2x"]: "2x" is not a name'),
        ({"shared": {"null": 0}}, 'shared.null: "null" is a word of the language'),
        ({"shared": {"count": 0}}, 'shared.count: "count" has a meaning of its own'),
        ({"shared": {"m": 0}}, 'objects.m: "m" is declared twice: it is a shared variable already'),
        ({"shared": {"w": 0}}, 'workers.w: "w" is declared twice: it is a shared variable already'),
        ({"objects": {"o": "lok"}}, 'objects.o.type: unknown type "lok" (did you mean "lock"?)'),
        ({"objects": {"o": "mutex"}}, 'unknown type "mutex" (there are lock, rlock, '),
        ({"objects": {"o": {"type": "lock", "count": 0}}}, "objects.o.count: count must be 1"),
        ({"objects": {"o": {"type": "lock", "value": 1}}}, "objects.o.value: a lock has no value"),
        ({"objects": {"o": {"type": "semaphore", "value": -1}}}, "value must be 0 or more"),
        ({"objects": {"o": {"type": "queue", "maxsize": -1}}}, "maxsize must be 0 or more"),
        ({"objects": {"o": {"type": "queue", "order": "fif"}}}, 'did you mean "fifo"?'),
        ({"objects": {"o": "barrier"}}, 'objects.o: missing key "parties"'),
        ({"objects": {"o": {"type": "barrier", "parties": 0}}}, "parties must be 1 or more"),
        ({"objects": {"o": {"type": "condition", "lock": "n"}}}, 'there is no lock "n"'),
        (
            {"objects": {"s": "event", "o": {"type": "condition", "lock": "s"}}},
            'objects.o.lock: a condition needs a lock or rlock, and "s" is an event',
        ),
        (
            {
                "objects": {
                    "t": {"type": "lock", "count": 2},
                    "o": {"type": "condition", "lock": "t"},
                }
            },
            'objects.o.lock: "t" is an array of 2, which does not fit one condition',
        ),
        ({"objects": {"o": {"type": "lock", "count": 10_001}}}, "more than 10,000 objects in all"),
        ({"workers": {"w": {"count": 0, "steps": []}}}, "workers.w.count: count must be 1 or more"),
        ({"workers": {"w": {"start": "manul", "steps": []}}}, 'did you mean "manual"?'),
        (
            {"workers": {"w": {"count": 9999, "steps": []}, "u": {"count": 2, "steps": []}}},
            "workers.u.count: more than 10,000 workers in all",
        ),
        ({"always": ["v +"]}, "always[0]: this cannot be read"),
        ({"always": [True, "index > 0"]}, 'always[1]: "index" belongs to a worker'),
        ({"finally": ["x == 0"]}, 'finally[0]: unknown shared variable "x"'),
        ({"finally": ["m"]}, 'finally[0]: "m" is a lock: here only shared variables can be seen'),
        ({"finally": ["a[3] == 0"]}, 'finally[0]: "a" has no element 3'),
        ({"expect": {"thread": "fails"}}, 'did you mean "threading"?'),
        ({"expect": {"trio": "fail"}}, 'expect.trio.verdict: unknown verdict "fail"'),
        ({"expect": {"trio": {"verdict": "fails", "switches": -1}}}, "switches must be 0 or more"),
    ],
)
def test_one_thing_wrong_in_a_declaration(section: dict[str, Any], message: str) -> None:
    problem = one(**section)
    assert message in problem, problem


def test_all_is_told_at_once() -> None:
    problems = found(
        {"acquire": "n"},
        {"with": "m", "do": [{"write": "v", "value": "x + y[a[7]]"}, "break"]},
        finally_=["z"],
    )
    assert [problem.split(": ")[0] for problem in problems] == [
        "workers.w.steps[0].acquire",
        "workers.w.steps[1].do[0].value",
        "workers.w.steps[1].do[0].value",
        "workers.w.steps[1].do[0].value",
        "workers.w.steps[1].do[1]",
        "finally[0]",
    ]


def test_arrays_of_conditions() -> None:
    def objects(conditions: int | None, locks: int | None) -> dict[str, Any]:
        return {
            "g": {"type": "rlock", "count": locks},
            "o": {"type": "condition", "lock": "g", "count": conditions},
        }

    assert found(objects=objects(2, 2)) == found(objects=objects(2, None)) == []
    assert "does not fit 3 conditions" in one(objects=objects(3, 2))


def test_bounded_nesting() -> None:
    step = With(with_="m", do=[])
    for _ in range(MAX_NESTING - 1):
        step = With(with_="m", do=[step])
    assert found(step) == []
    # A document of this depth loads: the two bounds agree.
    plain = scenario(step).to_data()
    scenario_from_data(plain)
    for _ in range(300):
        step = With(with_="m", do=[step])
    assert "nested more than 45 deep" in one(step)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(scenarios())
def test_right_scenarios_have_nothing_wrong(data: dict[str, Any]) -> None:
    assert check_scenario(Scenario.model_validate(data)) == []
