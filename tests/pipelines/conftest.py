"""Composed configurations, commands run in this process or their own, and one finished run."""

import contextlib
import copy
import functools
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CONF = REPOSITORY / "conf"

TINY = (
    "debug=smoke",
    "symbols=[EURUSD,GBPUSD]",
    "data.n_bars=3000",
    "models.lstm.max_epochs=1",
    "models.mlp.max_epochs=2",
)
ONE_LINE = re.compile(r"configuration error: [^\n]+\n")
# The earlier system's rule, and models as they are configured.
REFERENCE = ("selection=reference", "regularize=reference", "augmentation=none")
# Everything that is trained is good enough, and few rows are enough for a holdout.
LENIENT = (
    *REFERENCE,
    "selection.max_gap=1",
    "selection.min_accuracy=0",
    "selection.stability_threshold=1",
    "split.min_development_rows=50",
)
ONE_FOREST = ("~models.xgboost", "~models.mlp", "~models.lstm", "~null_models.logistic")
# What backtests of this folder replay, and the files that they write.
DEMO = ("data=demo", "data.n_bars=4000")
REPLAY_FILES = {
    *(f"{name}.parquet" for name in ("trades", "open_positions", "partials", "stop_moves")),
    *(f"{name}.parquet" for name in ("decisions", "parameters", "equity")),
    *("experiences.json", "summary.json", "report.html"),
}
# The council and a null model, and nothing to decide but whether there is signal.
COUNCIL_ALONE = ("~models.random_forest", *ONE_FOREST)


def composed(*overrides, config_name="train_all"):
    """Return a command's configuration as it reaches the command.

    Nothing is kept for the next test, unless one says where.
    """
    has_cache = "data=table" not in overrides and config_name not in ("record", "train_exits")
    kept = () if any(one.startswith("data.cache=") for one in overrides) else ("data.cache=null",)
    return copy.deepcopy(_composed(config_name, (*overrides, *kept * has_cache)))


@functools.cache
def _composed(config_name, overrides):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(CONF), version_base="1.3"):
        conf = compose(config_name, list(overrides))
    return OmegaConf.to_container(conf, resolve=True)


def places(folder):
    """Return overrides that keep everything a run writes in ``folder``."""
    return (f"output_dir={folder}/out", f"manifest.path={folder}/deploy/manifest.json")


def trained(folder, *overrides):
    """Train in this process; return exit code, what was printed, and what was written."""
    from pipelines.train_all import train_all

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), lines_shown():
        code = train_all(composed(*places(folder), *overrides))
    return SimpleNamespace(code=code, printed=printed.getvalue(), **written(folder))


@contextlib.contextmanager
def lines_shown():
    """Show log records on the console, as the command line's configuration does."""
    from pipelines.console import ConsoleHandler

    root, ours, handler = logging.getLogger(), logging.getLogger("pipelines"), ConsoleHandler()
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(logging.NOTSET)


def written(folder):
    """Return the files of a run."""
    files = sorted((folder / "out" / "results").glob("*.json"))
    manifest = folder / "deploy" / "manifest.json"
    return {
        "folder": folder,
        "results": {file.stem: json.loads(file.read_text()) for file in files},
        "record": json.loads((folder / "out" / "run.json").read_text()),
        "manifest": json.loads(manifest.read_text()) if manifest.exists() else None,
    }


def environment():
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"}


def command(name, *arguments, cwd):
    """Run ``python -m pipelines.<name>`` to its end in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_bars(folder, symbol, n_bars=3000, edge=0.15):
    """Write the simulated market's bars of one symbol as a price file."""
    import polars as pl

    from market.simulate import SimulatedMarket

    bars = SimulatedMarket(n_bars=n_bars, edge=edge).bars(symbol, 7)
    columns = {"timestamp": bars.start_T, "volume": bars.volume_T}
    columns |= {name: getattr(bars, f"{name}_T") for name in ("open", "high", "low", "close")}
    pl.DataFrame(columns).write_csv(folder / f"{symbol}.csv")


def levels():
    known = logging.Logger.manager.loggerDict.values()
    return {one: (one.level, one.disabled) for one in known if isinstance(one, logging.Logger)}


@contextlib.contextmanager
def logging_given_back():
    """Give the process its logging back, whatever a command made of it."""
    root, before = logging.getLogger(), levels()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for one in levels():
            level, one.disabled = before.get(one, (logging.NOTSET, False))
            one.setLevel(level)


@pytest.fixture(autouse=True)
def _as_before():
    with logging_given_back():
        yield


def check_only(conf):
    """Check as train_all does, but train nothing where a mistake is accepted."""
    from pipelines.settings import train_settings

    train_settings(conf)
    return 0


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Run a command that must refuse its arguments; return the sentence it gives."""
    from pipelines.command import run_command

    def run(*arguments, name="train_all", body=check_only):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as end:
            run_command(name, body)
        said = capsys.readouterr()
        assert end.value.code == 2
        assert said.out == ""
        assert ONE_LINE.fullmatch(said.err), said.err
        assert sorted(tmp_path.rglob("*")) == before
        return said.err.removeprefix("configuration error: ").rstrip("\n")

    return run


@pytest.fixture
def heeds_interrupts():
    """A shell may have them ignored, in processes that are started from here too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Two symbols with a holdout, every model, tracked by MLflow; every symbol gets a model.

    By the reference rule, which chooses among anything: what a choice leads to is seen on few rows.
    """
    folder = tmp_path_factory.mktemp("finished")
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    return trained(folder, *TINY, *LENIENT, "tracking=sqlite", store)


@pytest.fixture(scope="session")
def market_files(tmp_path_factory):
    """Price files of a simulated market: EURUSD with a strong edge, GBPUSD with none."""
    folder = tmp_path_factory.mktemp("prices")
    write_bars(folder, "EURUSD", 8000, edge=0.6)
    write_bars(folder, "GBPUSD", 8000, edge=0.0)
    return folder


@pytest.fixture(scope="session")
def certified(market_files, tmp_path_factory):
    """Council and a forest on both symbols, judged by evidence, tracked by MLflow."""
    folder = tmp_path_factory.mktemp("certified")
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    data = ("debug=smoke", "symbols=null", "data=bars", f"data.dir={market_files}")
    few = (*ONE_FOREST, "split.min_development_rows=50")
    return trained(folder, *data, *few, "tracking=sqlite", store)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Forests of EURUSD and GBPUSD with a holdout each, still sealed, and the run behind them."""
    folder = tmp_path_factory.mktemp("forests")
    kept = ("~models.council", "deploy.holdout=sealed", "training.decision_threshold=0.5")
    return trained(folder, *TINY, *LENIENT, *ONE_FOREST, *DEMO, *kept)


@pytest.fixture
def manifest(run, tmp_path):
    """A copy of the deploy folder: the manifest's path."""
    shutil.copytree(run.folder / "deploy", tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


@pytest.fixture
def replays(tmp_path, capsys, manifest):
    """Run backtest in this process; return exit code, summary, trades and what was printed."""

    from pipelines.backtest import backtest

    def run(*overrides, out="out"):
        folder = tmp_path / out
        places = (f"manifest={manifest}", f"output_dir={folder}")
        trackers = (
            () if any(one.startswith("tracking") for one in overrides) else ("tracking=none",)
        )
        given = (*DEMO, *places, *trackers, *overrides)
        with lines_shown():
            code = backtest(composed(*given, config_name="backtest"))
        said = " ".join(capsys.readouterr().out.split())
        if not (folder / "summary.json").exists():
            return code, None, None, said
        summary = json.loads((folder / "summary.json").read_text())
        return code, summary, pl.read_parquet(folder / "trades.parquet"), said

    return run
