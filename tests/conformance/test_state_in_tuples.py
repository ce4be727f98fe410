"""What is found in a tuple is shared as what is found anywhere: no race in it is verified.

Nothing is ever put into a tuple, so that no access tells of what is in one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

from tests.helpers.one_line_races import module_of, never_verified, rows_of

#: name | what is in the tuple | what is read of it | what is written
PROGRAMS: Final = """
a decoder | codecs.getincrementaldecoder('utf-16')() | x.getstate() | x.decode(b'a')
mapped memory | mmap.mmap(-1, 16) | x[0] | x[0] = 5
elements | ElementTree.Element('a') | len(x) | x.append(ElementTree.Element('b'))
text of an element | ElementTree.Element('a') | x.text | x.text = 'b'
a parser | pyexpat.ParserCreate() | x.buffer_size | x.buffer_size = 5
an iterator | iter([1, 2]) | next(x, 0) | next(x, 0)
numbers of rows | csv.reader(['1', '2']) | x.line_num | next(x)
a digest | hashlib.md5() | x.digest() | x.update(b'a')
a compressor | zlib.compressobj() | len(x.copy().flush()) | x.compress(bytes(range(99)))
random numbers | random.Random(1) | x.getstate() | x.seed(2)
bytes | io.BytesIO(b'ab') | x.tell() | x.read(1)
lines | io.TextIOWrapper(io.BytesIO(b'1,2')) | x.read(1) | x.read(1)
a buffer | io.BufferedReader(io.BytesIO(b'ab')) | x.read(1) | x.read(1)
a configuration | configparser.ConfigParser() | x.has_section('a') | x.add_section('a')
a sorter | graphlib.TopologicalSorter() | len(x._node2info) | x.add(1)
a number of ctypes | ctypes.c_int() | x.value | x.value = 5
an array of ctypes | (ctypes.c_int * 2)() | x[0] | x[0] = 5
what a pointer leads to | ctypes.pointer(ctypes.c_int()) | x.contents.value | x.contents.value = 5
a stack | contextlib.ExitStack() | len(x._exit_callbacks) | x.callback(int)
a file in memory | tempfile.SpooledTemporaryFile() | x.tell() | x.write(b'a')
variables | contextvars.Context() | x.get(VARIABLE) | x.run(VARIABLE.set, 5)
a generator | (i for i in range(3)) | next(x, 9) | next(x, 9)
a view | memoryview(bytearray(2)) | x[0] | x[0] = 5
a tuple of tuples | (([0],),) | x[0][0][0] | x[0][0][0] = 5
a method | [].append | len(x.__self__) | x(1)
notes | ValueError() | len(getattr(x, '__notes__', ())) | x.add_note('a')
"""
HEAD: Final = """
import codecs, configparser, contextlib, contextvars, csv, ctypes, graphlib, hashlib, io, mmap
import pyexpat, random, tempfile, types, zlib
from xml.etree import ElementTree
VARIABLE = contextvars.ContextVar("VARIABLE")
"""
ROWS: Final = [
    [name, f"o.t = ({made},)", *[re.sub(r"\bx\b", "o.t[0]", part) for part in parts]]
    for name, made, *parts in rows_of(PROGRAMS)
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    path = tmp_path_factory.mktemp("programs") / "programs_state_in_tuples.py"
    try:
        yield module_of(HEAD, ROWS, path)
    finally:
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: ROWS[number][0])
def test_it_is_never_verified(number: int, programs: ModuleType) -> None:
    never_verified(programs, number)
