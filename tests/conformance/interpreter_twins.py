"""The mended twins of wrong programs: with one lock around all that a worker does.

They are right because the wrong ones pass when their workers run one after the other, in any order;
``passes_in_turn`` is that oracle, on the interpreter alone.
"""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any

from tests.conformance import interpreter_idioms, interpreter_more
from tests.conformance.interpreter_cases import CASES, RIGHT, Case, State, Work

__all__ = ["TWINS", "interpreter_idioms", "interpreter_more", "passes_in_turn"]

_NAMES = [
    "weakref_looked_at_twice",
    "weakref_to_what_a_local_holds",
    "weakref_in_a_local",
    "weak_key_dictionary",
    "weak_value_dictionary",
    "weak_set",
    "class_assigned_too_early",
    "class_assigned_between_calls",
    "class_of_a_module_assigned",
    "cached_method",
    "weak_method",
    "class_attribute",
    "class_attribute_through_type",
    "metaclass_counts",
    "singleton_by_metaclass",
    "singleton_by_new",
    "data_descriptor",
    "property_of_a_class",
    "slots",
    "enum_member",
    "getattr_setattr",
    "through_vars",
    "through_dict",
    "dict_against_name",
    "object_setattr",
    "attrgetter",
    "itemgetter",
    "methodcaller",
    "operator_items",
    "hasattr_delattr",
    "partial_of_setattr",
    "dataclass_replace",
    "copied_while_written",
    "generator_shared",
    "generator_in_for_loops",
    "generator_send",
    "enumerate_of_a_generator",
    "zip_of_a_generator",
    "cache_with_an_effect",
    "cache_cleared",
    "cached_property_deleted",
    "defaultdict_with_a_python_factory",
    "dict_with_missing",
    "user_dict",
    "chain_map",
    "ordered_dict",
    "user_list",
    "counter_update",
    "bytes_io",
    "of_a_bytearray",
    "of_an_array",
    "memoryview_against_bytearray",
    "context_manager_puts_back",
    "tuple_attribute_added_to",
    "attributes_swapped",
    "pair_in_two_stores",
    "registry_of_a_class",
    "look_and_delete",
    "dict_walked_while_it_grows",
    "ordered_dict_as_a_cache",
    "pop_if_there_is_one",
    "index_found_and_used",
    "deque_walked_while_it_changes",
    "heap_looked_at_and_popped",
    "two_views_of_memory",
    "tee_of_a_generator",
    "made_by_getattr",
    "store_with_a_lock",
    "published_too_early",
    "queue_asked_whether_it_is_empty",
    "context_shared",
    "finalizer_alive",
    "entry_that_expires",
    "weakref_to_what_is_deep_in_containers",
    "raw_rlocks_in_two_orders",
]
#: The wrong programs that have a twin.
MENDED = [each for each in CASES if each.name in _NAMES]
#: How long a worker may take on the interpreter alone, in seconds.
PATIENCE = 10.0


def _twin(of: Case) -> Case:
    def setup() -> State:
        return SimpleNamespace(state=of.setup(), lock=threading.Lock())

    def locked(work: Work) -> Work:
        def alone(s: State) -> None:
            with s.lock:
                work(s.state)

        return alone

    def check(s: State) -> Any:
        return None if of.check is None else of.check(s.state)

    return Case(
        f"{of.name}_with_one_lock", RIGHT, "one lock around all that a worker does", setup,
        [locked(work) for work in of.workers], check,
    )  # fmt: skip


TWINS = [_twin(each) for each in MENDED]
assert len(TWINS) == len(_NAMES)
CASES += TWINS


def runs(case: Case, order: tuple[int, ...], together: bool = False) -> str:
    """Run the workers of a program on threads of their own, in turn or together. What went wrong,
    "" where nothing did."""
    state = case.setup()
    errors: list[BaseException] = []

    def run(work: Work) -> None:
        try:
            work(state)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(case.workers[k],), daemon=True) for k in order]
    for thread in threads:
        thread.start()
        if not together:
            thread.join(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            return "stuck"
    if errors:
        return repr(errors[0])
    try:
        return "" if case.check is None or case.check(state) is not False else "check"
    except Exception as error:
        return repr(error)


def passes_in_turn(case: Case) -> bool:
    """Whether every order of the whole workers passes."""
    return not any(runs(case, order) for order in itertools.permutations(range(len(case.workers))))
