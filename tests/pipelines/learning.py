"""Experiences to learn from, and the learning of them in this process."""

import contextlib
import io
import json
from types import SimpleNamespace

from tests.pipelines.conftest import DEMO, composed, lines_shown

EXPLORED = (
    "entries.model=events",
    *("exits.explore=0.4", "exits.vary=0.3", "exits.together=0.5", "exits.draws=3"),
    *("account.risk_per_trade=0.001", "replay.end=2010-07-01"),
)
FAST = ("exit_net.max_epochs=3", "exit_net.patience=2")


def explored(manifest, folder):
    """Trade varied exits; return the file of their experiences."""
    from pipelines.backtest import backtest

    given = (*DEMO, *EXPLORED, f"manifest={manifest}", f"output_dir={folder}", "tracking=none")
    with contextlib.redirect_stdout(io.StringIO()):
        assert backtest(composed(*given, config_name="backtest")) == 0
    return folder / "experiences.json"


def learnt(folder, file, *overrides):
    """Learn; return the exit code, what was printed, and what was written."""
    from pipelines.train_exits import train_exits

    tracker = () if any(one.startswith("tracking") for one in overrides) else ("tracking=none",)
    places = (f"model_dir={folder}/exit_model", f"output_dir={folder}/learning")
    given = (f"experiences={file}", *places, *tracker, *FAST, *overrides)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), lines_shown():
        code = train_exits(composed(*given, config_name="train_exits"))
    page = folder / "learning"
    return SimpleNamespace(
        code=code,
        said=" ".join(printed.getvalue().split()),
        model=folder / "exit_model",
        folder=page,
        summary=json.loads((page / "summary.json").read_text()),
        evidence=json.loads((page / "evidence.json").read_text()),
        page=(page / "report.html").read_text(),
    )


def files_of(folder):
    """Return the content of each file of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
