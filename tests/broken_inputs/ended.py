"""Commands run in this process, as a person at a terminal sees them end."""

import contextlib
import io
import os
import sys
from importlib import import_module
from pathlib import Path

from pipelines.command import run_command
from tests.pipelines.conftest import logging_given_back

BODIES = {
    "train_all": "train_all",
    "predict": "predict",
    "features": "write_features",
    "data": "inspect",
}


def ended(command, arguments, folder):
    """Return a command's exit code, and what it wrote to standard error; run in ``folder``."""
    body = getattr(import_module(f"pipelines.{command}"), BODIES[command])
    before, place, error = sys.argv, Path.cwd(), io.StringIO()
    sys.argv = [command, *arguments]
    os.chdir(folder)
    try:
        with (
            contextlib.redirect_stderr(error),
            contextlib.redirect_stdout(io.StringIO()),
            logging_given_back(),
        ):
            run_command(command, body)
    except SystemExit as end:
        return end.code, error.getvalue()
    finally:
        sys.argv = before
        os.chdir(place)
