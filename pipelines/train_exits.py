"""Learn exits from experiences, 208 numbers in and 132 out: ``python -m pipelines.train_exits``.

Exit codes: 0 a model was written, 2 configuration or nothing to learn from, 130 interrupted.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command


def train_exits(conf: Mapping[str, Any]) -> int:
    """Read experiences, learn, write the model and its report; return the exit code."""
    from pipelines.train_exits_settings import train_exits_settings

    settings = train_exits_settings(conf)

    from pipelines.train_exits_run import TrainExitsRun

    return TrainExitsRun(settings, conf).run()


if __name__ == "__main__":
    run_command("train_exits", train_exits)
