"""Trade a deployment manifest on paper, as if it were live: ``python -m pipelines.paper``.

Exit codes: as `pipelines.backtest`, and 1 where the events bus stays down.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pipelines.backtest import with_new_keys
from pipelines.command import run_command

GO_ON = "; the account is as it was, and the same command goes on from there"


def paper(conf: Mapping[str, Any]) -> int:
    """Trade, tell, and record; return the exit code."""
    from pipelines.paper_run import PaperRun
    from pipelines.paper_settings import paper_settings

    return PaperRun(paper_settings(conf), conf).run()


if __name__ == "__main__":
    sys.argv[1:] = with_new_keys(sys.argv[1:])
    run_command("paper", paper, go_on=GO_ON)
