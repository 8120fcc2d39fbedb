"""The page of broken inputs: what was given, how it ended, and the line on it."""

from pathlib import Path

from market.reading.safe_names import clipped
from tests.broken_inputs.command_cases import MANIFESTS as MANIFEST_CASES
from tests.broken_inputs.command_cases import SETTINGS as SETTING_CASES
from tests.broken_inputs.said import FILES

PAGE = Path(__file__).parents[2] / "docs" / "broken_inputs.md"
INTRODUCTION = """\
# Broken inputs

What is given to a command and cannot be used ends in one line that names symbol, file, place, what
was found and what to do, and in a documented exit code; never in a traceback, and never in a symbol
that is trained on something else than was meant. Other symbols of the same run are trained.

`python -m tests.broken_inputs` writes this page from the cases in `tests/broken_inputs`, and the
tests hold it to them. The code is that of `train_all` on that file alone: 0 used, 1 nothing could
be trained, 2 a configuration that cannot be run. Beside others that are trained, 1 becomes 3.
"""
BARS = """
## Files of bars (`data=bars`)

| given | file | code | line |
|---|---|---|---|
"""
TABLES = """
## Tables of features and labels (`data=table`)

| given | file | code | line |
|---|---|---|---|
"""
SETTINGS = """
## Settings and folders

| given | command | code | line |
|---|---|---|---|
"""
MANIFESTS = """
## Manifests (`python -m pipelines.predict manifest=manifest.json data.dir=in`)

| given | code | line |
|---|---|---|
"""


def page(said):
    """Return the page; ``said`` is what `all_said` returns."""
    parts = [INTRODUCTION]
    for kind, heading in (("bars", BARS), ("table", TABLES)):
        rows = (_file_row(case, said[kind][case.file]) for case in FILES[kind])
        parts += [heading, *rows]
    commands = said["commands"]
    parts += [SETTINGS, *(_row(one, commands, shown=True) for one in SETTING_CASES)]
    parts += [MANIFESTS, *(_row(one, commands, shown=False) for one in MANIFEST_CASES)]
    return "".join(parts)


def _file_row(case, said):
    used, symbol, told = said
    options = "".join(f", data.{key}={value}" for key, value in case.options)
    line = _code(f"{symbol}: {told}" if told else "")
    return f"| {case.given} | {_code(clipped(case.file))}{options} | {int(not used)} | {line} |\n"


def _row(case, said, *, shown):
    code, line = said[case.name]
    arguments = " ".join((case.command, *case.arguments))
    command = f" {_code(clipped(arguments))} |" if shown else ""
    return f"| {case.given} |{command} {code} | {_code(line.rstrip())} |\n"


def _code(text):
    """Return text as Markdown has it in a cell of a table: as it stands."""
    if not text:
        return ""
    marks = "``" if "`" in text else "`"
    return f"{marks}{text}{marks}".replace("|", "\\|")
