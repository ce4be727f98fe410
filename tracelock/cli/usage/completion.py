"""``tracelock completion``: scripts with which shells complete the words of a command line.

They are made from the table of commands that the parsers are made of, and hold all words
themselves: where the user presses Tab no Python is started.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from tracelock.cli.learning.chapter import CONCEPTS
from tracelock.cli.learning.shipped import MARK, names
from tracelock.cli.options import (
    READ_COMPARISON,
    READ_SCENARIO,
    READ_SOURCE,
    READ_TRACE,
    Option,
    all_commands,
    each,
)
from tracelock.cli.output import Output

#: By what is done with a file: how the names of those end that are offered.
_ENDINGS: Final = {
    READ_SCENARIO: ("yaml", "yml", "json"), READ_TRACE: ("json", "json.gz"),
    READ_COMPARISON: ("json", "json.gz"), READ_SOURCE: ("yaml", "yml", "json", "json.gz"),
}  # fmt: skip
#: What may also be the marked name of a scenario that comes with the package.
_MARKED: Final = (READ_SCENARIO, READ_SOURCE)
#: Placeholders of paths of which nothing more is known.
_PATHS: Final = ("PATH", "FILE", "TRACE:K")


#: Commands whose argument is a name, and what gives all of them.
_OWN_NAMES: Final[dict[str, Callable[[], list[str]]]] = {
    "scenarios": names, "tour": lambda: [one.name for one in CONCEPTS],
}  # fmt: skip


class Offer(NamedTuple):
    """An argument, and what a shell offers for it: one of ``words``, folders, or files that end so
    (any file, where there are no endings); ``marked``: or a scenario of the package. ``names``:
    none of a positional one; ``many``: more may follow."""

    names: tuple[str, ...]
    value: str
    about: str
    words: tuple[str, ...] = ()
    files: bool = False
    folders: bool = False
    endings: tuple[str, ...] = ()
    many: bool = False
    marked: bool = False


class Completed(NamedTuple):
    """A command as shells complete it."""

    name: str
    about: str
    options: list[Offer]
    arguments: list[Offer]


def completion_command(options: argparse.Namespace, out: Output) -> int:
    """Print the script for a shell."""
    out.text(completion(options.shell))
    return 0


def completion(shell: str) -> str:
    """The script that makes ``shell`` complete the command lines of tracelock."""
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](list(_completed()))
    return "\n".join([*lines, ""])


def _completed() -> Iterator[Completed]:
    for name, (about, rows) in all_commands().items():
        offers = list(map(_offer, each(rows)))
        if name in _OWN_NAMES:
            offers = [
                one if one.names else one._replace(words=tuple(_OWN_NAMES[name]()))
                for one in offers
            ]
        offers.append(Offer(("-h", "--help"), "", "show this help message and exit"))
        yield Completed(
            name, about, [one for one in offers if one.names],
            [one for one in offers if not one.names],
        )  # fmt: skip


def _offer(option: Option) -> Offer:
    names, how = option.names, option.how
    positional = not names[0].startswith("-")
    words = tuple(how.get("choices", ()))
    about = how["help"].removesuffix(f": {', '.join(words)}")
    value = "" if how.get("action") == "store_true" else str(how["metavar"])
    return Offer(
        () if positional else names, value, about, words,
        bool(option.file) or value in _PATHS, value == "DIR", _ENDINGS.get(option.file, ()),
        how.get("nargs") == "+", option.file in _MARKED,
    )  # fmt: skip


# --- bash --------------------------------------------------------------------------------------
_BASH: Final = r"""# Completion of tracelock for bash: source <(tracelock completion bash)

_tracelock_files() {  # the word so far, then the endings of the files to offer (none: all)
    local word=$1 one ending
    shift
    compopt -o filenames 2>/dev/null
    while IFS= read -r one; do COMPREPLY+=("$one"); done < <(compgen -d -- "$word")
    while IFS= read -r one; do
        [[ -d $one ]] && continue
        (( $# )) || COMPREPLY+=("$one")
        for ending; do [[ $one == *."$ending" ]] && COMPREPLY+=("$one") && break; done
    done < <(compgen -f -- "$word")
}

_tracelock_words() {  # the word so far, then all that are offered
    local one
    while IFS= read -r one; do COMPREPLY+=("$one"); done < <(compgen -W "$2" -- "$1")
}

_tracelock_scenarios() {  # the same; a word that begins with @ is the name of a scenario
    if [[ $1 == @* ]]; then _tracelock_words "$1" "@SCENARIOS@"; else _tracelock_files "$@"; fi
}

_tracelock() {
    local words=() last=0 place
    # bash takes @name for two words
    for (( place = 0; place < ${#COMP_WORDS[@]}; place++ )); do
        if [[ ${COMP_WORDS[place]} == "@" ]] && (( place < COMP_CWORD )); then
            (( place++ ))
            words+=("@${COMP_WORDS[place]}")
        else
            words+=("${COMP_WORDS[place]}")
        fi
        (( place <= COMP_CWORD )) && last=$(( ${#words[@]} - 1 ))
    done
    local word=${words[last]} before=${words[last-1]} command=${words[1]}
    local options valued number=0
    COMPREPLY=()
    # bash takes --option=value for three words
    if [[ $word == "=" ]]; then word=""
    elif [[ $before == "=" ]]; then before=${words[last-2]}; fi
    if (( last == 1 )); then
        _tracelock_words "$word" "@COMMANDS@ -h --help --version"
        return
    fi
    case $command in
@OPTIONS@
        *) return ;;
    esac
    case $command:$before in
@VALUES@
    esac
    [[ $valued == *" $before "* ]] && return
    if [[ $word == -* ]]; then
        _tracelock_words "$word" "$options"
        return
    fi
    for (( place = 2; place < last; place++ )); do
        if [[ $valued == *" ${words[place]} "* ]]; then
            [[ ${words[place+1]} == "=" ]] && (( place++ ))
            (( place++ ))
        elif [[ ${words[place]} != -* ]]; then
            (( number++ ))
        fi
    done
    case $command:$number in
@ARGUMENTS@
    esac
}

complete -F _tracelock tracelock"""


def _bash(commands: Sequence[Completed]) -> list[str]:
    options, values, arguments = [], [], []
    for one in commands:
        names = " ".join(name for offer in one.options for name in offer.names)
        valued = " ".join(name for offer in one.options if offer.value for name in offer.names)
        options.append(f'        {one.name}) options="{names}" valued=" {valued} " ;;')
        for offer in one.options:
            if action := _bash_action(offer):
                cases = "|".join(f"{one.name}:{name}" for name in offer.names)
                values.append(f"        {cases}) {action}; return ;;")
        for number, offer in enumerate(one.arguments):
            if action := _bash_action(offer):
                place = "*" if offer.many else str(number)
                arguments.append(f"        {one.name}:{place}) {action} ;;")
    script = _BASH.replace("@COMMANDS@", " ".join(one.name for one in commands))
    script = script.replace("@SCENARIOS@", " ".join(_marked_names()))
    for mark, lines in ("OPTIONS", options), ("VALUES", values), ("ARGUMENTS", arguments):
        script = script.replace(f"@{mark}@", "\n".join(lines))
    return [script]


def _bash_action(offer: Offer) -> str:
    if offer.words:
        return f'_tracelock_words "$word" "{" ".join(offer.words)}"'
    if offer.files:
        what = "scenarios" if offer.marked else "files"
        return " ".join([f'_tracelock_{what} "$word"', *offer.endings])
    return '_tracelock_files "$word" /' if offer.folders else ""


def _marked_names() -> list[str]:
    return [MARK + name for name in names()]


# --- zsh ---------------------------------------------------------------------------------------
def _zsh(commands: Sequence[Completed]) -> Iterator[str]:
    yield "#compdef tracelock"
    yield "# Completion of tracelock for zsh: tracelock completion zsh > _tracelock, in a folder of"
    yield "# fpath; or, after compinit: source <(tracelock completion zsh)"
    yield ""
    yield "_tracelock_scenarios() {  # a word that begins with @ is the name of a scenario"
    yield f"    local -a scenarios=({' '.join(map(_quoted, _marked_names()))})"
    yield '    if [[ $PREFIX == @* ]]; then compadd -a scenarios; else _files "$@"; fi'
    yield "}"
    yield ""
    yield "_tracelock() {"
    yield '    local curcontext="$curcontext" state line'
    yield "    local -a commands"
    yield "    typeset -A opt_args"
    yield "    _arguments -C '(- *)'{-h,--help}'[show the help]' \\"
    yield "        '(- *)--version[show the version]' '1:command:->command' '*::argument:->rest'"
    yield "    case $state in"
    yield "        command)"
    yield "            commands=("
    for one in commands:
        yield f"                {_quoted(one.name + ':' + one.about)}"
    yield "            )"
    yield "            _describe -t commands 'command' commands ;;"
    yield "        rest)"
    yield "            case $words[1] in"
    for one in commands:
        yield f"                {one.name}) _arguments -S \\"
        specs = [_zsh_option(offer) for offer in one.options]
        for number, offer in enumerate(one.arguments, 1):
            place = "*" if offer.many else str(number)
            specs.append(_quoted(f"{place}:{_plain(offer.value)}:{_zsh_action(offer)}"))
        yield " \\\n".join(f"                    {spec}" for spec in specs) + " ;;"
    yield "            esac ;;"
    yield "    esac"
    yield "}"
    yield ""
    yield 'if [[ $funcstack[1] == _tracelock ]]; then _tracelock "$@"; else'
    yield "    compdef _tracelock tracelock"
    yield "fi"


def _zsh_option(offer: Offer) -> str:
    about = re.sub(r"([\[\]:])", r"\\\1", offer.about)
    value = f":{_plain(offer.value)}:{_zsh_action(offer)}" if offer.value else ""
    repeated = "*" if "may be repeated" in offer.about else ""
    specs = []
    for name in offer.names:
        ending = "" if not offer.value else "=" if name.startswith("--") else "+"
        others = f"({' '.join(offer.names)})" if len(offer.names) > 1 else ""
        specs.append(_quoted(f"{repeated or others}{name}{ending}[{about}]{value}"))
    return " ".join(specs)


def _zsh_action(offer: Offer) -> str:
    if offer.words:
        return f"({' '.join(offer.words)})"
    if offer.files:
        what = " _tracelock_scenarios" if offer.marked else "_files"
        return f'{what} -g "*.({"|".join(offer.endings)})(-.)"' if offer.endings else what
    return "_files -/" if offer.folders else " "


def _plain(text: str) -> str:
    return re.sub(r"[^\w|.,-]", " ", text)


# --- fish --------------------------------------------------------------------------------------
_FISH: Final = r"""# Completion of tracelock for fish:
# tracelock completion fish > ~/.config/fish/completions/tracelock.fish

function __tracelock_is  # whether the command is this one; without one, whether there is none yet
    set -l words (commandline -opc)
    if test (count $argv) -eq 0
        test (count $words) -eq 1
    else
        test (count $words) -ge 2; and test $words[2] = $argv[1]
    end
end

function __tracelock_files  # folders, and files with one of these endings
    set -l endings (string join '|' -- (string escape --style=regex -- $argv))
    set -l wanted '^[^\t]*(?:/|\.(?:'$endings'))(?:\t.*)?$'
    __fish_complete_path (commandline -ct) | string match -r $wanted
end

function __tracelock_scenarios  # the same, or where the word begins with @ names of scenarios
    if string match -q '@*' -- (commandline -ct)
        printf '%s\n' @SCENARIOS@
    else
        __tracelock_files $argv
    end
end

complete -c tracelock -f
complete -c tracelock -n __tracelock_is -s h -l help -d 'show the help'
complete -c tracelock -n __tracelock_is -l version -d 'show the version'"""


def _fish(commands: Sequence[Completed]) -> Iterator[str]:
    yield _FISH.replace("@SCENARIOS@", " ".join(map(_fished, _marked_names())))
    for one in commands:
        yield f"complete -c tracelock -n __tracelock_is -a {one.name} -d {_fished(one.about)}"
    for one in commands:
        start = f"complete -c tracelock -n '__tracelock_is {one.name}'"
        for offer in one.options:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in offer.names
            )
            yield f"{start} {names}{_fish_value(offer)} -d {_fished(offer.about)}"
        for offer in one.arguments:
            if what := _fish_action(offer):
                yield f"{start} -a {_fished(what)}"


def _fish_value(offer: Offer) -> str:
    if not offer.value:
        return ""
    if offer.files and not offer.endings:
        return " -rF"  # any file, as fish completes them
    what = _fish_action(offer)
    return f" -xa {_fished(what)}" if what else " -x"


def _fish_action(offer: Offer) -> str:
    if offer.words:
        return " ".join(offer.words)
    if offer.files:
        what = "scenarios" if offer.marked else "files"
        return f"(__tracelock_{what} {' '.join(offer.endings)})"
    return "(__fish_complete_directories (commandline -ct))" if offer.folders else ""


def _quoted(text: str) -> str:
    """For sh and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fished(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
