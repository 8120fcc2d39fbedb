"""What is said of every case, found as a run finds it: read, checked and made ready."""

import contextlib
import os
from datetime import UTC, datetime
from typing import NamedTuple

from pipelines.preparation import prepare_symbols
from pipelines.settings import train_settings
from tests.broken_inputs import bar_cases, table_cases
from tests.broken_inputs.command_cases import CASES as COMMANDS
from tests.broken_inputs.ended import ended
from tests.pipelines.conftest import composed

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOBODY = 65534
FILES = {"bars": bar_cases.CASES, "table": table_cases.CASES}


class Said(NamedTuple):
    """Whether a file is used, its symbol, and the line on it; empty where there is none."""

    used: bool
    symbol: str
    line: str


def all_said(folder):
    """Return what is said of every file, by kind and name, and by every command, by its name."""
    found = {}
    for kind, cases in FILES.items():
        (folder / kind).mkdir()
        found[kind] = said_of_files(cases, kind, folder / kind)
    return found | {"commands": said_of_commands(COMMANDS, folder)}


def said_of_files(cases, kind, folder):
    """Return what is said of each case, by file: most lie in one folder, a few each in its own."""
    together = [case for case in cases if case.joins_others]
    found = _said(together, kind, folder / "all")
    for number, case in enumerate(cases):
        if not case.joins_others:
            found |= _said([case], kind, folder / f"{number}")
    return found


def said_of_commands(cases, folder):
    """Return exit code and standard error of each command, by name."""
    found = {}
    for case in cases:
        place = folder / case.name
        place.mkdir()
        if case.write is not None:
            case.write(place)
        found[case.name] = ended(case.command, case.arguments, place)
    return found


def write(cases, folder):
    folder.mkdir()
    for case in cases:
        case.write(folder)


def _said(cases, kind, folder):
    write(cases, folder)
    conf = composed("debug=smoke", f"data={kind}", "data.dir=nowhere", "symbols=null")
    conf["data"] |= {"dir": str(folder), **dict(cases[0].options)}
    settings = train_settings(conf)
    settings.source.clock = lambda: NOON
    with contextlib.nullcontext() if cases[0].readable else as_nobody():
        done = prepare_symbols(settings)
    return {
        file: Said(symbol in done.prepared, symbol, _line(done, symbol))
        for symbol, file in _files(settings.source)
    }


def _files(source):
    """Yield symbols and names of files, which bars and tables list each in their own way."""
    for symbol, listed in source.files.items():
        path = getattr(listed[0], "path", listed[0])
        yield symbol, path.name


def _line(done, symbol):
    if symbol in done.failed:
        return done.failed[symbol]
    bars = done.reports[symbol].bars
    repairs = bars.reading.repairs if bars else {}
    repaired = ", ".join(f"{count:,} {name}" for name, count in repairs.items())
    constant = done.reports[symbol].events.constant_features if bars is None else ()
    odd = [f"constant: {', '.join(constant)}"] if constant else list(bars.warnings if bars else ())
    return "; ".join([repaired, *odd][: 2 if repaired else None]).strip("; ")


@contextlib.contextmanager
def as_nobody():
    """Act as a user without rights, where one has all of them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
