"""Bars in, deployment manifest out: ``python -m pipelines.train_all``."""

import logging
from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command

GO_ON = "; what was finished is kept, and the same command goes on from there"

_log = logging.getLogger(__name__)


def train_all(conf: Mapping[str, Any]) -> int:
    """Check the configuration, then train every model of every symbol; return the exit code."""
    from pipelines.cost import RunCost

    cost = RunCost()

    from pipelines.settings import train_settings

    settings = train_settings(conf)
    # Said before anything slow, so that a wrong folder or choice is seen at once.
    n_symbols, place = len(settings.symbols), conf["data"].get("dir", "a simulated market")
    _log.info("reading %d symbol%s from %s", n_symbols, "s" * (n_symbols != 1), place)

    from pipelines.training_run import TrainingRun
    from training.processes import end_workers

    try:
        return TrainingRun(settings, conf, cost).run()
    except KeyboardInterrupt:
        end_workers()
        raise


if __name__ == "__main__":
    run_command("train_all", train_all, go_on=GO_ON)
