"""tox-dev/filelock PR #581 (3.13.1; 4.2.11 has the lock): is_singleton=True is a get-or-create on
a WeakValueDictionary without a lock.
Kind: check-then-act -> two instances for one path (a later reentrant acquire hangs).
Lines: filelock/_api.py __new__ 'instance = cls._instances.get(...)' ... 'cls._instances[...] =
instance'.
"""

import os

from filelock import FileLock

#: Nothing is made there: no lock is taken.
DIR = os.path.join("no", "such", "folder")
N = [0]


def setup():
    N[0] += 1
    return {"path": os.path.join(DIR, f"l{N[0]}.lock"), "got": []}


def opener(s):
    s["got"].append(FileLock(s["path"], is_singleton=True))


workers = [opener, opener]


def check(s):
    assert s["got"][0] is s["got"][1], "two 'singleton' locks for one path"
