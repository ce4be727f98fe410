"""What surrounds the workers in a program: how they are started, watched and judged.

Texts of the programs that are written. A name in braces stands for what depends on the scenario.
"""

from __future__ import annotations

from typing import Final

_JUDGE: Final = """\
{finals}{passed}    return 0
"""

THREADS: Final = '''\
def run(worker, *args):
    name = threading.current_thread().name
{begin}    try:
        worker(*args)
    except Exception as error:
        traceback.print_exc()
        failures.append(f"{{name}}: {{type(error).__name__}}: {{error}}")
{ended}{start}

def main():
    """Run the workers; 0 if all went well, 1 if not."""
{starts}
{go}    end = time.monotonic() + PATIENCE
    while (alive := [t for t in {threads} if t.is_alive()]) and not failures:
        if time.monotonic() > end:
            break
        alive[0].join(0.02)
    for failure in failures:
        print("failed:", failure)
    for thread in alive if not failures else ():
        stack = traceback.extract_stack(sys._current_frames()[thread.ident])
        mine = [frame for frame in stack if frame.filename == __file__]
        print(f"{{thread.name}} waits at line {{mine[-1].lineno}}: {{mine[-1].line}}")
    if failures or alive:
{told}        return 1
''' + _JUDGE  # fmt: skip

THREADS_START: Final = """

def start(name, worker, *args):
    if name in threads:
        raise RuntimeError(f"{name} has been started already")
    threads[name] = threading.Thread(target=run, args=(worker, *args), name=name, daemon=True)
    threads[name].start()
"""

PROCESSES: Final = '''\
def run(worker, *args):
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # says where this process waits
    faulthandler.dump_traceback_later(PATIENCE + 10, exit=True)  # if nobody is left to end it
{ran}{spawn}

def main():
    """Run the workers; 0 if all went well, 1 if not."""
{starts}
    end = time.monotonic() + PATIENCE
    failures = []
    while (alive := [p for p in processes if p.is_alive()]) and not failures:
        if time.monotonic() > end:
            break
        alive[0].join(0.02)
{serve}        failures = [p for p in processes if p.exitcode]
    failures = [p for p in processes if p.exitcode]
    for process in failures:
        print(f"failed: {{process.name}} ended with {{process.exitcode}}")
    for process in [p for p in processes if p.is_alive()]:
        if time.monotonic() > end:
            print(f"{{process.name}} waits, see below where", flush=True)
            os.kill(process.pid, signal.SIGUSR1)
            process.join(0.2)
        process.kill()
        process.join()
    if failures or alive:
{told}        return 1
''' + _JUDGE  # fmt: skip

SPAWN: Final = '''

def spawn(name):
    """Ask the first process to start a worker."""
    if not starting[name].acquire(block=False):
        raise RuntimeError(f"{name} has been started already")
    requests.put(name)
'''

SERVE: Final = """\
        while not requests.empty():
            name = requests.get()
            processes.append(ctx.Process(target=run, args=manual[name], name=name))
            processes[-1].start()
"""

ASYNCIO: Final = '''\
{run}{start}async def run_all():
{starts}
    end = time.monotonic() + PATIENCE
    while running := [task for task in {tasks} if not task.done()]:
        if time.monotonic() > end or any(failed(task) for task in {tasks}):
            break
        left = end - time.monotonic()
        await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    failures.extend(task for task in {tasks} if failed(task))
    for task in running:
        frame = task.get_stack()[-1]
        line = linecache.getline(__file__, frame.f_lineno).strip()
        waiting.append(f"{{task.get_name()}} waits at line {{frame.f_lineno}}: {{line}}")
        task.cancel()


def failed(task):
    return task.done() and not task.cancelled() and task.exception() is not None


def main():
    """Run the workers; 0 if all went well, 1 if not."""
    faulthandler.dump_traceback_later(PATIENCE + 10, exit=True)  # a loop without await: it ends
    asyncio.run(run_all())
    faulthandler.cancel_dump_traceback_later()
    for task in failures:
        traceback.print_exception(task.exception())
        print(f"failed: {{task.get_name()}}: {{task.exception()!r}}")
    for line in waiting if not failures else ():
        print(line)
    if failures or waiting:
{told}        return 1
''' + _JUDGE  # fmt: skip

ASYNCIO_START: Final = """\
def start(name, worker, *args):
    if name in tasks:
        raise RuntimeError(f"{name} has been started already")
    tasks[name] = asyncio.create_task({made}, name=name)


"""

ENDING: Final = """\
async def ending(worker, *args):
    try:
        await worker(*args)
    finally:
        ended[asyncio.current_task().get_name()].set()


"""

TRIO: Final = '''\
async def run(name, worker, *args):
    try:
        {scope}await worker(*args)
    except Exception as error:
        traceback.print_exc()
        failures.append(f"{{name}}: {{type(error).__name__}}: {{error}}")
        patience.cancel()
    except trio.Cancelled as error:
        mine = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == __file__]
        waiting.append(f"{{name}} waits at line {{mine[-1].lineno}}: {{mine[-1].line}}")
        raise
{ended}{start}

async def run_all():
{world}    with patience:
        async with trio.open_nursery() as nursery:
{starts}


def main():
    """Run the workers; 0 if all went well, 1 if not."""
    faulthandler.dump_traceback_later(PATIENCE + 10, exit=True)  # a loop without await: it ends
    trio.run(run_all)
    faulthandler.cancel_dump_traceback_later()
    for failure in failures:
        print("failed:", failure)
    for line in waiting if not failures else ():
        print(line)
    if failures or waiting:
{told}        return 1
''' + _JUDGE  # fmt: skip

TRIO_START: Final = """

def start(name, worker, *args):
    if name in started:
        raise RuntimeError(f"{name} has been started already")
    started.add(name)
    nursery.start_soon(run, name, worker, *args)
"""

WORK: Final = '''\
def work(rounds):
    """Take some time with arithmetic."""
    x = 1
    for _ in range(int(rounds)):
        x = (x * 1103515245 + 12345) % 2147483648
'''

SAME: Final = '''\
def same(a, b):
    """Whether two values are equal; a truth value and a number never are."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
'''

NUMBER: Final = '''\
def number(value):
    """What may be added to a variable."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"a number is added, not {value!r}")
    return value
'''

#: Conditions whose woken waiters take the lock back in a turn of their own.
HELD: Final = {
    "threading": '''
back = {}  # worker -> the turn in which it takes the lock back after a wait


class Condition(threading.Condition):
    """A condition whose waiters, once woken, take the lock back when it is their turn."""

    def __init__(self, lock=None):
        super().__init__(lock)
        self.take_back = self._acquire_restore
        self._acquire_restore = self.in_turn

    def in_turn(self, state):
        if threading.current_thread().name in back:
            back.pop(threading.current_thread().name).wait(PATIENCE / 2)
        self.take_back(state)

''',
    "multiprocessing": '''
back = {}  # worker -> the turn in which it takes the lock back after a wait


class InTurn:
    """A condition's lock, which its woken waiters take back when it is their turn."""

    def __init__(self, lock):
        self.lock = lock

    def acquire(self):
        if multiprocessing.current_process().name in back:
            back.pop(multiprocessing.current_process().name).wait(PATIENCE / 2)
        return self.lock.acquire()

    def __getattr__(self, name):
        return getattr(self.lock, name)


def Condition(lock=None):
    condition = ctx.Condition(lock)
    condition._lock = InTurn(condition._lock)
    return condition

''',
    "asyncio": '''
back = {}  # task -> the turn in which it takes the lock back after a wait


class Condition(asyncio.Condition):
    """A condition whose waiters, once woken, take the lock back when it is their turn."""

    def __init__(self, lock=None):
        super().__init__(lock)
        self.take_back = self.acquire
        self.acquire = self.in_turn

    async def in_turn(self):
        if asyncio.current_task() in back:
            await back.pop(asyncio.current_task()).wait()
        return await self.take_back()

''',
    "trio": '''
back = {}  # task -> the turn in which it takes the lock back after a wait


class Condition(anyio.Condition):
    """A condition whose waiters, once woken, take the lock back when it is their turn."""

    async def acquire(self):
        if trio.lowlevel.current_task() in back:
            await back.pop(trio.lowlevel.current_task()).wait()
        await super().acquire()

''',
}

#: In a test: a mended program may never come to a turn, and shall pass all the same.
_TAKE = {
    "threading": '''
def take(number):
    """Wait for a turn. A mended program may never come to it: then go on without."""
    turn[number].wait(1)
''',
    "asyncio": '''
async def take(number):
    """Wait for a turn. A mended program may never come to it: then go on without."""
    try:
        async with asyncio.timeout(1):
            await turn[number].wait()
    except TimeoutError:
        pass
''',
    "trio": '''
async def take(number):
    """Wait for a turn. A mended program may never come to it: then go on without."""
    with trio.move_on_after(1):
        await turn[number].wait()
''',
}
_TAKE["multiprocessing"] = _TAKE["threading"]
TAKE: Final = {name: text.lstrip("\n") for name, text in _TAKE.items()}
