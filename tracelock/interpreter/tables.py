"""What each CPython does at its instructions, as data: one table for each version.

A thread gives the GIL to another one that waits for it only where it looks at the *eval breaker*,
or where code in C lets the GIL go. The places, in CPython's own source:

- 3.11, ``Python/ceval.c``: the macro ``CHECK_EVAL_BREAKER()`` at the end of
  ``TARGET(JUMP_BACKWARD_QUICK)`` (to which ``JUMP_BACKWARD`` leads), of
  ``TARGET(POP_JUMP_BACKWARD_IF_*)`` where they jump, of ``TARGET(CALL)``, of the
  ``TARGET(PRECALL_*)`` of callees in C and of ``TARGET(CALL_FUNCTION_EX)``;
  ``TARGET(RESUME_QUICK)`` goes to ``handle_eval_breaker`` where ``oparg < 2``.
  ``Modules/gcmodule.c``: ``_PyObject_GC_Link`` collects then and there.
- 3.12, ``Python/bytecodes.c``: the same in ``inst(JUMP_BACKWARD)``, in ``inst(CALL)`` and its
  specialised forms, in ``inst(CALL_FUNCTION_EX)``; ``inst(RESUME)`` as in 3.11; all conditional
  jumps are forward. ``Modules/gcmodule.c``: ``_PyObject_GC_Link`` calls ``_Py_ScheduleGC``, so that
  collections come where the eval breaker is looked at (``_Py_HandlePending`` in
  ``Python/ceval_gil.c``).
- 3.13, ``Python/bytecodes.c``: ``_CHECK_PERIODIC`` ends ``macro(CALL)`` and its forms;
  ``inst(CALL_KW)`` is one more call; ``inst(RESUME)`` has its place in the low two bits and checks
  below ``RESUME_AFTER_YIELD_FROM``; ``inst(BEFORE_WITH)`` calls ``__enter__`` without a check.
  ``Python/gc.c`` has ``_Py_ScheduleGC``.
- 3.14, ``Python/bytecodes.c``: ``macro(RESUME)`` has ``_CHECK_PERIODIC_IF_NOT_YIELD_FROM``; with
  statements enter by ``LOAD_SPECIAL`` and an ordinary ``CALL``, which checks
  (https://github.com/python/cpython/issues/148874; up to 3.14.10, measured).
- 3.15, ``Python/bytecodes.c``: the same, but no check after a call that follows ``LOAD_SPECIAL``
  (https://github.com/python/cpython/pull/154830; 3.15.2, measured). ``LOAD_GLOBAL`` may have to
  finish a lazy import.

The specialised forms of ``len``, ``isinstance``, ``type`` and ``list.append`` have no check and
their unspecialised ones have: every call counts as one that checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Table:
    """Which instructions of one version look at the eval breaker, and where it can collect."""

    version: tuple[int, int]
    #: ``RESUME`` checks where the low two bits of its argument are one of these:
    #: 0 at the start, 1 after yield, 2 after yield from, 3 after await.
    resume: frozenset[int] = frozenset({0, 1})
    #: Jumps that check when they are taken.
    jumps: frozenset[str] = frozenset({"JUMP_BACKWARD"})
    #: Calls: checked after a callee in C has returned (not where it raised).
    calls: frozenset[str] = _words("CALL CALL_FUNCTION_EX")
    #: Whether a check comes between ``__enter__`` and the body of ``with``.
    entering_with: bool = False
    #: Whether a cyclic collection, with the finalizers it runs, can come at an allocation.
    collects_at_allocation: bool = False
    #: Whether reading a global can import a module.
    lazy_imports: bool = False


_BACKWARD_311 = _words(
    "JUMP_BACKWARD POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE"
    " POP_JUMP_BACKWARD_IF_NONE POP_JUMP_BACKWARD_IF_NOT_NONE"
)
_V312 = Table((3, 12))
_V313 = replace(_V312, version=(3, 13), calls=_words("CALL CALL_KW CALL_FUNCTION_EX"))
TABLES: dict[tuple[int, int], Table] = {
    (3, 11): replace(_V312, version=(3, 11), jumps=_BACKWARD_311, collects_at_allocation=True),
    (3, 12): _V312,
    (3, 13): _V313,
    (3, 14): replace(_V313, version=(3, 14), entering_with=True),
    (3, 15): replace(_V313, version=(3, 15), lazy_imports=True),
}

#: Instructions that run no other code, whatever they are given. One that stands nowhere here is one
#: of which nothing is known.
SILENT = _words(
    "NOP CACHE EXTENDED_ARG PUSH_NULL COPY SWAP LOAD_CONST LOAD_CONST_IMMORTAL LOAD_CONST_MORTAL"
    " LOAD_SMALL_INT LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_FAST_LOAD_FAST"
    " LOAD_FAST_BORROW LOAD_FAST_BORROW_LOAD_FAST_BORROW LOAD_CLOSURE LOAD_DEREF LOAD_CLASSDEREF"
    " LOAD_ASSERTION_ERROR LOAD_COMMON_CONSTANT LOAD_BUILD_CLASS LOAD_LOCALS MAKE_CELL"
    " COPY_FREE_VARS SET_FUNCTION_ATTRIBUTE BUILD_STRING LIST_APPEND IS_OP KW_NAMES"
    " PRECALL JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT POP_JUMP_IF_NONE"
    " POP_JUMP_IF_NOT_NONE POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE"
    " POP_JUMP_BACKWARD_IF_NONE POP_JUMP_BACKWARD_IF_NOT_NONE PUSH_EXC_INFO NOT_TAKEN"
    " MATCH_MAPPING MATCH_SEQUENCE RERAISE INTERPRETER_EXIT RETURN_GENERATOR JUMP"
    " JUMP_NO_INTERRUPT RESUME"
)
#: What allocates objects that the collector looks after.
ALLOCATES = _words(
    "BUILD_TUPLE BUILD_LIST BUILD_MAP BUILD_CONST_KEY_MAP BUILD_SET BUILD_SLICE MAKE_FUNCTION"
)
#: What only lets go of a value: silent unless a finalizer or a callback of a weak reference runs.
DROPS = _words(
    "POP_TOP STORE_FAST DELETE_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST"
    " STORE_FAST_MAYBE_NULL STORE_DEREF DELETE_DEREF STORE_GLOBAL DELETE_GLOBAL STORE_NAME"
    " DELETE_NAME END_FOR END_SEND POP_ITER POP_EXCEPT RETURN_VALUE RETURN_CONST"
)
#: Truth tests: by the jump up to 3.12, by TO_BOOL from 3.13 on.
TRUTH_JUMPS = _words(
    "POP_JUMP_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_FORWARD_IF_TRUE POP_JUMP_FORWARD_IF_FALSE"
    " POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE JUMP_IF_TRUE_OR_POP"
    " JUMP_IF_FALSE_OR_POP"
)
#: After which no instruction of the frame follows by itself.
ENDS = _words("RETURN_VALUE RETURN_CONST RERAISE RAISE_VARARGS INTERPRETER_EXIT")
ALWAYS_JUMPS = _words(
    "JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP JUMP_NO_INTERRUPT"
)
#: Accesses: instruction -> (read or write or ..., what it is an access of).
ACCESSES: dict[str, tuple[str, str]] = {
    "LOAD_ATTR": ("read", "attribute"),
    "LOAD_METHOD": ("read", "attribute"),
    "LOAD_SUPER_ATTR": ("read", "super"),
    "STORE_ATTR": ("write", "attribute"),
    "DELETE_ATTR": ("write", "attribute"),
    "BINARY_SUBSCR": ("read", "item"),
    "BINARY_SLICE": ("read", "item"),
    "STORE_SUBSCR": ("write", "item"),
    "DELETE_SUBSCR": ("write", "item"),
    "STORE_SLICE": ("write", "item"),
    "LOAD_GLOBAL": ("read", "global"),
    "LOAD_NAME": ("read", "name"),
    "STORE_GLOBAL": ("write", "global"),
    "DELETE_GLOBAL": ("write", "global"),
    "STORE_NAME": ("write", "name"),
    "DELETE_NAME": ("write", "name"),
    "LOAD_DEREF": ("read", "closure"),
    "LOAD_CLASSDEREF": ("read", "closure"),
    "LOAD_FROM_DICT_OR_DEREF": ("read", "closure"),
    "LOAD_FROM_DICT_OR_GLOBALS": ("read", "name"),
    "STORE_DEREF": ("write", "closure"),
    "DELETE_DEREF": ("write", "closure"),
    "BINARY_OP": ("read", "operator"),
    "COMPARE_OP": ("read", "compare"),
    "CONTAINS_OP": ("read", "contains"),
    "UNARY_NEGATIVE": ("read", "unary"),
    "UNARY_INVERT": ("read", "unary"),
    "UNARY_POSITIVE": ("read", "unary"),
    "UNARY_NOT": ("read", "truth"),
    "TO_BOOL": ("read", "truth"),
    "GET_ITER": ("read", "iterate"),
    "FOR_ITER": ("read", "next"),
    "UNPACK_SEQUENCE": ("read", "unpack"),
    "UNPACK_EX": ("read", "unpack"),
    "LIST_EXTEND": ("read", "unpack"),
    "SET_UPDATE": ("read", "spread"),
    "DICT_UPDATE": ("read", "spread"),
    "DICT_MERGE": ("read", "spread"),
    "FORMAT_VALUE": ("read", "format"),
    "FORMAT_SIMPLE": ("read", "format"),
    "FORMAT_WITH_SPEC": ("read", "format"),
    "CONVERT_VALUE": ("read", "format"),
    "GET_LEN": ("read", "match"),
    "MATCH_KEYS": ("read", "match"),
    "MATCH_CLASS": ("read", "match"),
    "CALL": ("call", "call"),
    "CALL_KW": ("call", "call"),
    "CALL_FUNCTION_EX": ("call", "call"),
    "BEFORE_WITH": ("call", "enter"),
    "BEFORE_ASYNC_WITH": ("call", "enter"),
    "LOAD_SPECIAL": ("call", "enter"),
    "WITH_EXCEPT_START": ("call", "enter"),
    "SEND": ("call", "await"),
}


def table_for(version: tuple[int, int]) -> Table:
    """The table of a version. Raises LookupError where there is none."""
    try:
        return TABLES[version]
    except KeyError:
        known = f"{min(TABLES)[0]}.{min(TABLES)[1]} to {max(TABLES)[0]}.{max(TABLES)[1]}"
        raise LookupError(
            f"nothing is known of CPython {version[0]}.{version[1]}: there are tables of {known}"
        ) from None
