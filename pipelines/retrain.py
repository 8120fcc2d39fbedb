"""Train drifted symbols again, let later events decide: ``python -m pipelines.retrain``.

Exit codes: 0 every symbol was dealt with (trained, waiting, adopted or dismissed), or there was
nothing to do; 1 none could be; 2 configuration; 3 some could not; 130 interrupted.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command

GO_ON = "; what was finished is kept, and the same command goes on from there"
# As the commands say that only read a manifest; its section is that of the commands that train.
SHORT, KEY = "manifest=", "manifest.path="


def retrain(conf: Mapping[str, Any]) -> int:
    """Train, judge, adopt; return the exit code."""
    from pipelines.retrain_settings import retrain_settings

    settings = retrain_settings(conf)

    from pipelines.retrain_run import RetrainRun
    from training.processes import end_workers

    try:
        return RetrainRun(settings, conf).run()
    except KeyboardInterrupt:
        end_workers()
        raise


def with_whole_keys(arguments: list[str]) -> list[str]:
    """Return a command line on which ``manifest=FILE`` names the key that it means."""
    return [
        f"{KEY}{one.removeprefix(SHORT)}" if one.startswith(SHORT) else one for one in arguments
    ]


if __name__ == "__main__":
    sys.argv[1:] = with_whole_keys(sys.argv[1:])
    run_command("retrain", retrain, go_on=GO_ON)
