"""Trade a deployment manifest on bars, with live exit parameters: ``python -m pipelines.backtest``.

Exit codes: 0 all symbols were replayed or have no model, 1 no symbol could be, 2 configuration, 3
some could not.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command

# Mappings that are open: whoever sets a key in them need not say that it is new.
OPEN = tuple(f"exits.{name}{sign}" for name in ("parameters", "tick_size") for sign in ".=")


def backtest(conf: Mapping[str, Any]) -> int:
    """Replay, report, and record; return the exit code."""
    from pipelines.backtest_run import BacktestRun
    from pipelines.backtest_settings import backtest_settings

    return BacktestRun(backtest_settings(conf), conf).run()


def with_new_keys(arguments: list[str]) -> list[str]:
    """Return a command line on which keys of open mappings are added where no file names them."""
    return [f"++{one}" if one.startswith(OPEN) else one for one in arguments]


if __name__ == "__main__":
    sys.argv[1:] = with_new_keys(sys.argv[1:])
    run_command("backtest", backtest)
