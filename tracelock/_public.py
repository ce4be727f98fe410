# ruff: noqa: I001 - several names a line
"""Every public name of the package, and the module that it is in: the one list of them.

``tracelock`` imports each of them when it is first used. To add one, add it here.
"""

from tracelock.analysis.analyze import (
    Analysis as Analysis, analyze as analyze,
)  # fmt: skip
from tracelock.analysis.findings import Finding as Finding
from tracelock.atomicity import (
    Atomicity as Atomicity, atomic as atomic,
)  # fmt: skip
from tracelock.audit import (
    Audited as Audited, audit as audit,
)  # fmt: skip
from tracelock.compare import (
    Comparison as Comparison, compare as compare,
)  # fmt: skip
from tracelock.engine.limits import RunLimits as RunLimits
from tracelock.errors import (
    Divergence as Divergence, ImpossibleHere as ImpossibleHere, InternalError as InternalError,
    LimitReached as LimitReached, ModelMismatch as ModelMismatch, Problem as Problem,
    ScenarioError as ScenarioError, TraceError as TraceError, TracelockError as TracelockError,
    UnsupportedError as UnsupportedError, UsageError as UsageError,
)  # fmt: skip
from tracelock.instrument.crashes.checking import after_crash as after_crash
from tracelock.history.marking import linearizable as linearizable
from tracelock.history.recording import History as History
from tracelock.instrument.network.membership import host as host
from tracelock.instrument.inputs.choosing import (
    booleans as booleans, choice as choice, integers as integers, sample as sample,
    shuffle as shuffle,
)  # fmt: skip
from tracelock.instrument.invariants.watching import always as always
from tracelock.instrument.loops.aim import cancellable as cancellable
from tracelock.instrument.network.crashes import crash as crash, restart as restart
from tracelock.instrument.network.partitions import heal as heal, partition as partition
from tracelock.report.render import render_report as render_report
from tracelock.scenario.language.jsonschema import scenario_schema as scenario_schema
from tracelock.scenario.language.models import (
    Expectation as Expectation, ObjectDecl as ObjectDecl, Scenario as Scenario,
    WorkerDecl as WorkerDecl,
)  # fmt: skip
from tracelock.scenario.language.python import PythonDecl as PythonDecl
from tracelock.scenario.language.verbs import (
    Acquire as Acquire, Assert as Assert, Atomic as Atomic, Break as Break, Call as Call,
    Cancel as Cancel, Checkpoint as Checkpoint, Clear as Clear, CompareExchange as CompareExchange,
    Continue as Continue, Crash as Crash, Exchange as Exchange, Fail as Fail, FetchAdd as FetchAdd,
    Get as Get, If as If, Join as Join, Let as Let, Notify as Notify, Put as Put, Read as Read,
    Release as Release, Repeat as Repeat, Set as Set, Sleep as Sleep, Spawn as Spawn, Step as Step,
    Stop as Stop, Timeout as Timeout, Try as Try, Wait as Wait, While as While, With as With,
    Work as Work, Write as Write,
)  # fmt: skip
from tracelock.scenario.loading import (
    load_scenario as load_scenario, load_scenario_text as load_scenario_text,
    scenario_from_data as scenario_from_data,
)  # fmt: skip
from tracelock.session import (
    ReplayResult as ReplayResult, backends_here as backends_here, run as run,
)  # fmt: skip
from tracelock.session.after_fix import (
    Checked as Checked, check_fix as check_fix,
)  # fmt: skip
from tracelock.session.api import (
    explore as explore, replay as replay,
)  # fmt: skip
from tracelock.session.explored import (
    Explored as Explored, SearchFailed as SearchFailed,
)  # fmt: skip
from tracelock.session.exporting import export as export
from tracelock.session.shrinking import (
    ShrunkTrace as ShrunkTrace, predict as predict, shrink as shrink,
)  # fmt: skip
from tracelock.stateful import run_state_machine_concurrently as run_state_machine_concurrently
from tracelock.teeth import (
    MutantResult as MutantResult, Teeth as Teeth, teeth as teeth,
)  # fmt: skip
from tracelock.trace import (
    Blocked as Blocked, Event as Event, Events as Events, MISSING as MISSING, Trace as Trace,
    Verdict as Verdict, load_trace as load_trace, load_trace_text as load_trace_text,
    recover as recover,
)  # fmt: skip
