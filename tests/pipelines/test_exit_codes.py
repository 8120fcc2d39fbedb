import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import polars as pl
import pytest

from models.base import ModelError
from models.random_forest import RandomForest
from models.xgb import XGBoost
from pipelines.train_all import GO_ON
from tests.pipelines.conftest import (
    LENIENT,
    ONE_FOREST,
    REFERENCE,
    TINY,
    command,
    environment,
    places,
    trained,
    write_bars,
)

BARS = ("debug=smoke", "symbols=null", "data=bars", "tracking=none", *ONE_FOREST)
FEW = ("debug=smoke", "tracking=none", "~models.mlp", "~models.lstm", "data.n_bars=3000")


@pytest.fixture
def prices(tmp_path):
    folder = tmp_path / "prices"
    folder.mkdir()
    return folder


def spoil(prices, symbol):
    write_bars(prices, symbol, 100)
    path = prices / f"{symbol}.csv"
    lines = path.read_text().splitlines()
    lines[20] = lines[20].replace(",", ",-", 1)
    path.write_text("\n".join(lines))


def test_a_broken_file_beside_a_good_one_ends_with_code_3(prices, tmp_path):
    write_bars(prices, "EURUSD")
    spoil(prices, "GBPUSD")
    run = trained(tmp_path, *BARS, f"data.dir={prices}")
    assert run.code == run.record["exit_code"] == 3
    assert run.record["symbols"]["EURUSD"]["status"] == "trained"
    failed = run.record["symbols"]["GBPUSD"]
    assert failed["status"] == "failed"
    assert failed["error"].startswith("GBPUSD.csv, row ")
    assert f"GBPUSD: {failed['error']}\n" in run.printed
    selection = run.manifest["selections"]["GBPUSD"]
    assert selection["action"] == "MANUAL_REVIEW_REQUIRED"
    assert failed["error"] in selection["reason"]
    assert run.manifest["summary"]["total_symbols"] == 2


def test_nothing_but_broken_files_ends_with_code_1(prices, tmp_path):
    for symbol in ("EURUSD", "GBPUSD"):
        spoil(prices, symbol)
    run = trained(tmp_path, *BARS, f"data.dir={prices}")
    assert run.code == run.record["exit_code"] == 1
    assert run.results == {}
    assert run.manifest is run.record["manifest"] is None
    assert f"reading 2 symbols from {prices}\n" in run.printed
    assert "0 of 2 symbols ready (real data)" in run.printed


def test_too_few_rows_are_a_failed_symbol_that_names_the_key(prices, tmp_path):
    write_bars(prices, "EURUSD", 400)
    run = trained(tmp_path, *BARS, f"data.dir={prices}")
    assert run.code == 1
    assert "split.min_rows" in run.record["symbols"]["EURUSD"]["error"]


def fails(*_arguments, **_keywords):
    raise ModelError("no luck\ntoday")


def test_a_model_that_fails_is_recorded_and_the_others_train(tmp_path, monkeypatch):
    monkeypatch.setattr(XGBoost, "_fit", fails)
    run = trained(tmp_path, *FEW)
    assert run.code == run.record["exit_code"] == 3
    failed = run.results["EURUSD_XGBoost"]
    assert failed["warnings"][0] == "fold 1: no luck today"
    assert failed["cpu_seconds"]["walk_forward"] > 0
    assert failed["error"].endswith("no luck today")
    models = run.record["symbols"]["EURUSD"]["models"]
    assert models["XGBoost"] == {"status": "failed", "error": failed["error"]}
    assert models["RandomForest"] == {"status": "trained"}
    assert f"EURUSD XGBoost: failed: {failed['error']}" in run.printed
    assert "failed: " in (tmp_path / "out" / "leaderboard.csv").read_text()


def test_an_augmentation_that_cannot_run_is_recorded_and_told(tmp_path):
    many = ("augmentation=always", "augmentation.threshold=9999", "augmentation.techniques=[smote]")
    few = (*FEW, "~models.xgboost", "regularize=reference")
    run = trained(tmp_path, *few, *many, "augmentation.smote_neighbors=9999")
    assert run.code == run.record["exit_code"] == 3
    failures = run.results["EURUSD_RandomForest"]["augmentation_failures"]
    assert [one.partition(":")[0] for one in failures[-2:]] == ["fold 6", "final fit"]
    assert run.record["symbols"]["EURUSD"]["models"]["RandomForest"] == {
        "status": "trained",
        "augmentation_failures": failures,
    }
    assert (
        f"RandomForest: 7 fits could not be augmented and went without: {failures[0]}"
        in run.printed
    )


def test_a_symbol_whose_every_model_fails_has_nothing_to_deploy_and_ends_with_code_1(
    tmp_path, monkeypatch
):
    for kind in (XGBoost, RandomForest):
        monkeypatch.setattr(kind, "_fit", fails)
    run = trained(tmp_path, *FEW)
    assert run.code == 1
    assert run.manifest is run.record["manifest"] is None
    assert run.record["symbols"]["EURUSD"]["status"] == "failed"
    assert run.record["symbols"]["EURUSD"]["reason"].startswith("Every model failed: ")
    assert "error" not in run.results["EURUSD_MajorityClass"]


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    ended = command("train_all", *FEW, *ONE_FOREST[3:], *places(tmp_path), cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("configuration error: output_dir: ")
    assert ended.stderr.count("\n") == 1


def children_of(pid):
    listed = subprocess.run(
        ["ps", "-o", "pid=,ppid=,stat=,args=", "-e"], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 3) for line in listed.stdout.splitlines())
    return [row for row in rows if int(row[1]) == pid and not row[2].startswith("Z")]


def still_alive(children, patience_s=5.0):
    """Return those that do not end; the tracker of shared memory ends just after its parent."""
    ids, end_s = {row[0] for row in children}, time.monotonic() + patience_s
    while time.monotonic() < end_s:
        listed = subprocess.run(
            ["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        ids &= {pid for pid, state in rows if not state.startswith("Z")}
        if not ids:
            break
        time.sleep(0.1)
    return ids


def start(folder, *arguments):
    """Start a run in a process group of its own, as a terminal would."""
    store = ("tracking=sqlite", f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pipelines.train_all"),
            *(*TINY, *REFERENCE, *store, *places(folder), *arguments),
        ],
        cwd=folder,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def runs_of(folder):
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as store:
        return dict(store.execute("SELECT name, status FROM runs").fetchall())


LONG_NET = ("models.lstm.max_epochs=4000", "models.lstm.patience=4000")
LARGE_FOREST = ("models.random_forest.n_estimators=2000000",)


@pytest.mark.usefixtures("heeds_interrupts")
# One process trains the LSTM first and then the forest; the second of two trains the forest.
@pytest.mark.parametrize(("workers", "long"), [(1, LARGE_FOREST), (2, LONG_NET)])
def test_an_interrupt_ends_everything_with_code_130(tmp_path, workers, long):
    process = start(tmp_path, f"execution.workers={workers}", *long, "symbols=[EURUSD]")
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("[1/"))
        children = children_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        said, complaint = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert complaint == f"interrupted{GO_ON}\n"
    assert "Traceback" not in said
    assert len(children) >= (workers if workers > 1 else 0)
    assert not still_alive(children)
    assert set(runs_of(tmp_path).values()) == {"FINISHED", "KILLED"}
    assert list((tmp_path / "out" / "results").glob("*.json"))


def test_what_is_odd_about_a_deployed_models_data_stands_in_the_manifest_and_on_screen(
    prices, tmp_path
):
    write_bars(prices, "EURUSD")
    path = prices / "EURUSD.csv"
    bars = pl.read_csv(path, try_parse_dates=True)
    bars.with_columns(pl.col("timestamp") + pl.duration(hours=8)).write_csv(path)
    run = trained(tmp_path, *BARS, *LENIENT, f"data.dir={prices}")
    odd = run.manifest["selections"]["EURUSD"]["data_warnings"]
    assert any("set data.time_zone=" in sentence for sentence in odd)
    assert run.record["symbols"]["EURUSD"]["data_warnings"] == odd
    for sentence in odd:
        assert f"EURUSD: before it trades, look at its data: {sentence}\n" in run.printed
