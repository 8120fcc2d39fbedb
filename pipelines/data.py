"""Say what data files would be read as, and what is wrong: ``python -m pipelines.data inspect``."""

import re
import sys
from collections.abc import Mapping
from typing import Any

from pipelines.command import (
    ALL_TRAINED,
    BAD_CONFIGURATION,
    NOTHING_TRAINED,
    SOME_FAILED,
    run_command,
)

INSPECT = "inspect"
USAGE = "python -m pipelines.data inspect PATH [data.time_zone=... and other keys; see --help]"


def inspect(conf: Mapping[str, Any]) -> int:
    """Read and check every file, print what was found; return the exit code."""
    from pipelines.inspection import inspected, show
    from pipelines.settings import inspect_settings
    from selection.atomic import write_json_atomically

    settings = inspect_settings(conf)
    found = [inspected(settings.source, symbol) for symbol in settings.symbols]
    if settings.output is not None:
        write_json_atomically(settings.output, found)
    show(found, form=settings.format)
    failed = sum(one.error is not None for one in found)
    if failed == 0:
        return ALL_TRAINED
    return SOME_FAILED if failed < len(found) else NOTHING_TRAINED


def as_overrides(arguments: list[str]) -> list[str]:
    """Return ``inspect PATH key=value ...`` as Hydra reads it; exits with 2 for anything else."""
    if any(one in ("--help", "-h", "--cfg", "--info") for one in arguments):
        return [one for one in arguments if one != INSPECT]
    if len(arguments) < 2 or arguments[0] != INSPECT or not arguments[1]:
        print(f"configuration error: expected {USAGE}", file=sys.stderr)
        sys.exit(BAD_CONFIGURATION)
    if arguments[1].startswith("data.dir="):
        return arguments[1:]
    return [f"data.dir='{_quoted(arguments[1])}'", *arguments[2:]]


def _quoted(path: str) -> str:
    """Return a path as it stands between Hydra's quotes, where ``${`` begins an interpolation.

    There a backslash is one, unless it stands before a quote.
    """
    escaped = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), path)
    return escaped.replace("${", r"\${")


if __name__ == "__main__":
    sys.argv[1:] = as_overrides(sys.argv[1:])
    run_command("data", inspect)
