"""See whether deployed models still are what their manifest says: ``python -m pipelines.drift``.

Exit codes: 0 every symbol with a model was looked at, whether or not one tripped (``tripped`` with
format=json, and drift.json, say which), 1 none could be, 2 configuration, 3 some could not, 130
interrupted.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command


def drift(conf: Mapping[str, Any]) -> int:
    """Look at every symbol, report; return the exit code."""
    from pipelines.drift_settings import drift_settings

    settings = drift_settings(conf)

    from pipelines.drift_run import DriftRun

    return DriftRun(settings, conf).run()


if __name__ == "__main__":
    run_command("drift", drift)
