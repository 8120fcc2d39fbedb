"""Correct live probabilities by later outcomes: ``python -m pipelines.calibrate``.

Exit codes: 0 every symbol with a model was judged or waits for outcomes, 1 none could be, or the
next manifest could not be written, 2 configuration, 3 some could not, 130 interrupted.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command
from pipelines.retrain import with_whole_keys


def calibrate(conf: Mapping[str, Any]) -> int:
    """Judge, publish what is adopted, report; return the exit code."""
    from pipelines.calibrate_settings import calibrate_settings

    settings = calibrate_settings(conf)

    from pipelines.calibrate_run import CalibrateRun

    return CalibrateRun(settings, conf).run()


if __name__ == "__main__":
    sys.argv[1:] = with_whole_keys(sys.argv[1:])
    run_command("calibrate", calibrate)
