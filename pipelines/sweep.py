"""Tune models per symbol, adopt only what stands: ``python -m pipelines.sweep``."""

import logging
from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command

GO_ON = "; trials that have ended are kept, and the same command goes on from there"

_log = logging.getLogger(__name__)


def sweep(conf: Mapping[str, Any]) -> int:
    """Check the configuration, then search, compare and write what is adopted; return the code."""
    from pipelines.sweep_settings import sweep_settings

    settings = sweep_settings(conf)

    from pipelines.sweep_run import SweepRun
    from training.processes import end_workers

    try:
        return SweepRun(settings, conf).run()
    except KeyboardInterrupt:
        end_workers()
        raise


if __name__ == "__main__":
    run_command("sweep", sweep, go_on=GO_ON)
