"""What functions of the standard library change of the whole process, or ask of it.

Nothing of this is an access that is seen: neither who sets it, nor who depends on it.
"""

from __future__ import annotations

from types import CodeType
from typing import Final

#: Why nothing is proved where a worker does that.
OF_ALL: Final = "it holds for the whole process, which no access is that is seen"
_OF_TEXT: Final = "code that is made of text makes no access that is seen"
_ASKED: Final = "what it answers depends on more than accesses"
#: What is changed -> module -> qualified names of functions in Python that change it.
_FUNCTIONS: Final[dict[str, dict[str, str]]] = {
    "os.environ": {"os": "_Environ.__setitem__ _Environ.__delitem__"},
    "the filters of warnings": {
        "warnings": "simplefilter filterwarnings resetwarnings catch_warnings.__enter__",
    },
    "sys.stdout and its kin": {"contextlib": "_RedirectStream.__enter__"},
    "os.chdir": {"contextlib": "chdir.__enter__"},
    "the classes that an abstract class knows": {"abc": "ABCMeta.register"},
    "importlib.reload": {"importlib": "reload"},
    "attributes that are replaced": {
        "unittest.mock": "_patch.__enter__ _patch_dict.__enter__ _patch_dict._patch_dict",
        "_pytest.monkeypatch": "MonkeyPatch.setattr MonkeyPatch.delattr MonkeyPatch.setitem"
        " MonkeyPatch.delitem MonkeyPatch.syspath_prepend",
    },
    "linecache": {"linecache": "clearcache"},
    "threading.settrace and its kin": {
        "threading": "settrace setprofile settrace_all_threads setprofile_all_threads",
    },
    "copyreg": {
        "copyreg": "pickle constructor add_extension remove_extension clear_extension_cache",
    },
    "signal handlers": {"signal": "signal siginterrupt set_wakeup_fd"},
    "typing.overload": {"typing": "overload clear_overloads"},
    "attributes that typing sets": {"typing": "final override no_type_check runtime_checkable"},
    "what logging is set to": {
        "logging": "Logger.setLevel Logger.addHandler Logger.removeHandler Filterer.addFilter"
        " Filterer.removeFilter Handler.setLevel Handler.setFormatter Handler.set_name"
        " StreamHandler.setStream disable addLevelName setLoggerClass setLogRecordFactory"
        " basicConfig captureWarnings Manager.setLoggerClass Manager.setLogRecordFactory"
        " Handler.close shutdown",
        "logging.config": "dictConfig fileConfig _clearExistingHandlers",
    },
    "the event loop policy": {"asyncio.events": "set_event_loop_policy _set_event_loop_policy"},
    "locale.setlocale": {"locale": "setlocale"},
    "mimetypes": {"mimetypes": "add_type init MimeTypes.add_type MimeTypes.read"},
    "urllib.request.install_opener": {"urllib.request": "install_opener"},
    "gettext": {"gettext": "textdomain bindtextdomain install NullTranslations.install"},
    "calendar.setfirstweekday": {"calendar": "setfirstweekday different_locale.__enter__"},
    "email.charset": {"email.charset": "add_charset add_alias add_codec"},
    "the formats of shutil": {
        "shutil": "register_archive_format unregister_archive_format register_unpack_format"
        " unregister_unpack_format",
    },
    "re.purge": {"re": "purge"},
    "xml.etree.ElementTree.register_namespace": {"xml.etree.ElementTree": "register_namespace"},
    "webbrowser.register": {"webbrowser": "register"},
    "the time zones of zoneinfo": {
        "zoneinfo": "reset_tzpath", "zoneinfo._tzpath": "reset_tzpath",
        "zoneinfo._zoneinfo": "ZoneInfo.clear_cache",
    },
    "multiprocessing.set_start_method": {
        "multiprocessing.context": "DefaultContext.set_start_method",
    },
    "doctest.register_optionflag": {"doctest": "register_optionflag"},
    "site.addsitedir": {"site": "addsitedir addpackage"},
}  # fmt: skip
#: Module and qualified name -> what it changes.
SETTING: Final = {
    (module, name): what
    for what, modules in _FUNCTIONS.items()
    for module, names in modules.items()
    for name in names.split()
}
#: Functions in C that do, by module.
_FUNCTIONS_IN_C: Final = {
    "sys": "setrecursionlimit setswitchinterval set_int_max_str_digits set_asyncgen_hooks"
    " setprofile settrace set_coroutine_origin_tracking_depth setdlopenflags addaudithook"
    " activate_stack_trampoline deactivate_stack_trampoline use_tool_id free_tool_id set_events"
    " set_local_events register_callback restart_events clear_tool_id set_lazy_imports"
    " set_lazy_imports_filter",
    "gc": "enable disable set_threshold set_debug freeze unfreeze",
    "posix": "umask", "time": "tzset", "_locale": "setlocale", "_codecs": "register register_error"
    " unregister", "_thread": "stack_size", "atexit": "register unregister",
    "faulthandler": "enable disable register unregister", "_tracemalloc": "start stop clear_traces",
    "_signal": "signal siginterrupt set_wakeup_fd", "_socket": "setdefaulttimeout",
    "_csv": "register_dialect unregister_dialect field_size_limit",
    "_abc": "_abc_register", "_imp": "_override_frozen_modules_for_tests",
}  # fmt: skip
_SHOWN: Final = {"posix": "os", "_locale": "locale", "_codecs": "codecs", "_thread": "threading",
                 "_tracemalloc": "tracemalloc", "_signal": "signal", "_socket": "socket",
                 "_csv": "csv"}  # fmt: skip
SETTING_IN_C: Final = {
    (module, name): f"{_SHOWN.get(module, module)}.{name}"
    for module, names in _FUNCTIONS_IN_C.items()
    for name in names.split()
}
#: What code that is looked into does by functions in C, and why nothing is proved by that.
_DONE_IN_C: Final = {
    ("builtins", "exec"): _OF_TEXT, ("builtins", "eval"): _OF_TEXT,
    ("sys", "getrefcount"): _ASKED, ("sys", "intern"): _ASKED, ("gc", "get_referrers"): _ASKED,
    ("gc", "get_objects"): _ASKED, ("gc", "get_referents"): _ASKED, ("gc", "is_tracked"): _ASKED,
    ("sys", "getsizeof"): _ASKED, ("sys", "getallocatedblocks"): _ASKED,
    ("sys", "getunicodeinternedsize"): _ASKED, ("sys", "_current_exceptions"): _ASKED,
    ("sys", "_is_interned"): _ASKED, ("gc", "get_count"): _ASKED, ("gc", "get_stats"): _ASKED,
    ("sys", "_current_frames"): _ASKED,
}  # fmt: skip


def told_in_c(module: str, name: str, looked: bool) -> tuple[str, str] | None:
    """What is told of a call of this function in C, if anything is: what it is of, and why.
    ``looked``: by code that is looked into."""
    what = SETTING_IN_C.get((module, name))
    if what is not None:
        return what, OF_ALL
    why = _DONE_IN_C.get((module, name)) if looked else None
    return None if why is None else (f"{_SHOWN.get(module, module)}.{name}", why)


def late(code: CodeType) -> str:
    """What is told where code that is looked into runs when something is first asked for, so that
    its answer is kept: of annotations, from 3.14 on."""
    return "annotations that are evaluated late" if code.co_name == "__annotate__" else ""
