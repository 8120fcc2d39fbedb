"""Bars in, deployment manifest out: ``python -m pipelines.train_all``."""

from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command


def train_all(conf: Mapping[str, Any]) -> int:
    """Check the configuration, then train every model of every symbol; return the exit code."""
    from pipelines.cost import RunCost

    cost = RunCost()

    from pipelines.settings import train_settings

    settings = train_settings(conf)

    from pipelines.training_run import TrainingRun

    return TrainingRun(settings, conf, cost).run()


if __name__ == "__main__":
    run_command("train_all", train_all)
