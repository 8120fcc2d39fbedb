"""Runs that are cut off go on where they were, and end as if nothing had happened."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.chaos import lasting, run_killed, tracked
from models.base import ModelError
from models.xgb import XGBoost
from pipelines import training_run
from tests.pipelines.conftest import (
    COUNCIL_ALONE,
    LENIENT,
    TINY,
    command,
    environment,
    places,
    trained,
)

ONE = ("debug=smoke", "data.n_bars=3000", *COUNCIL_ALONE)
SMALL = (
    *("debug=smoke", "tracking=sqlite", "symbols=[EURUSD,GBPUSD]", "execution.workers=2"),
    *("data.n_bars=4000", "models.lstm.max_epochs=8", "models.random_forest.n_estimators=100"),
    # As configured, the last fit of a net is trained with those of the folds, and once more with
    # all of them where a kill came in between.
    *(one for one in LENIENT if one != "regularize=reference"),
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return what was counted of a run that was killed six times, and its folder."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        return folder, run_killed(
            folder, SMALL, n_kills=6, rng=np.random.default_rng(3), most_s=0.3
        )


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet")
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    return trained(folder, *SMALL, store)


def test_no_fit_is_lost_or_made_twice_by_a_kill(killed):
    _, told = killed
    assert told.kinds.total() == 6
    assert told.lost == []
    assert told.made_twice == []


def test_a_killed_run_ends_as_an_undisturbed_one(killed, quiet):
    expected, found = lasting(quiet.folder), lasting(killed[0])
    assert sorted(found) == sorted(expected)
    assert len(found) > 40
    assert [name for name in expected if found[name] != expected[name]] == []


def test_mlflow_has_every_model_of_a_killed_run_once_and_nothing_running(killed, quiet):
    expected, found = tracked(quiet.folder), tracked(killed[0])
    assert expected["statuses"] == ["FINISHED"]
    assert set(found["statuses"]) <= {"FINISHED", "KILLED"}
    assert found["models"] == expected["models"]
    assert found["versions"] == expected["versions"]
    assert found["elsewhere"] == []


def test_a_holdout_is_opened_once_however_often_its_run_was_started(killed):
    lines = (killed[0] / "deploy" / "holdout_ledger.jsonl").read_text().splitlines()
    openings = [json.loads(line) for line in lines]
    assert sorted(one["symbol"] for one in openings) == ["EURUSD", "GBPUSD"]
    assert len({one["execution"] for one in openings}) == 1


def test_a_run_that_has_ended_is_shown_again_and_nothing_else_happens(tmp_path, monkeypatch):
    first = trained(tmp_path, *ONE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(training_run, "prepare_symbols", lambda *_: pytest.fail("read again"))
    again = trained(tmp_path, *ONE)
    assert again.code == first.code == 0
    assert "resume=false runs it anew" in again.printed
    table = first.printed[first.printed.index("Out of fold") :]
    assert again.printed.endswith(table)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert {path.name for path in before if before[path] != after[path]} <= {"execution.json"}


@pytest.mark.parametrize(
    "change", ["seed=8", "models.council.n_estimators=9", "deploy.promote=never"]
)
def test_other_work_in_the_same_folder_is_done(tmp_path, change):
    first = trained(tmp_path, *ONE)
    second = trained(tmp_path, *ONE, change)
    assert second.record["ended"] > first.record["ended"]
    assert "held another run (settings, data or code); it is replaced" in second.printed


def test_resume_false_makes_every_fit_anew(tmp_path):
    first = trained(tmp_path, *ONE)
    again = trained(tmp_path, *ONE, "resume=false")
    assert again.record["ended"] > first.record["ended"]
    assert "resuming" not in again.printed
    assert lasting(first.folder) == lasting(again.folder)


def test_a_run_whose_manifest_is_gone_writes_it_again_without_a_fit(tmp_path, monkeypatch):
    first = trained(tmp_path, *ONE)
    (tmp_path / "deploy" / "manifest.json").unlink()
    monkeypatch.setattr("training.fitting.Fitting.fit", lambda *_: pytest.fail("fitted again"))
    again = trained(tmp_path, *ONE)
    assert "resuming: 14 of 14 fits were made by an earlier start" in again.printed
    assert again.manifest["selections"] == first.manifest["selections"]


def test_a_manifest_that_another_run_has_replaced_is_told(tmp_path):
    trained(tmp_path, *ONE)
    other = f"output_dir={tmp_path}/other"
    trained(tmp_path, *ONE, "seed=8", other)
    again = trained(tmp_path, *ONE)
    assert f"{tmp_path}/deploy/manifest.json is another run's by now" in again.printed


def test_a_changed_model_leaves_the_fits_of_the_others(tmp_path):
    forest = ("debug=smoke", "data.n_bars=3000", "~models.mlp", "~models.lstm")
    trained(tmp_path, *forest)
    (tmp_path / "out" / "execution.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "units").glob("*/*")}
    trained(tmp_path, *forest, "models.xgboost.max_depth=2")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "units").glob("*/*")}
    assert {path.parent.name for path in before.items() ^ after.items() for path in path[:1]} == {
        "EURUSD_XGBoost"
    }


def test_a_model_that_failed_for_good_fails_no_slower_the_second_time(tmp_path, monkeypatch):
    def fails(*_given, **_named):
        raise ModelError("no luck")

    monkeypatch.setattr(XGBoost, "_fit", fails)
    first = trained(tmp_path, *ONE[:2], "~models.mlp", "~models.lstm")
    again = trained(tmp_path, *ONE[:2], "~models.mlp", "~models.lstm")
    assert (first.code, again.code) == (3, 3)
    assert "resume=false runs it anew" in again.printed


def started(folder, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.train_all", *arguments, *places(folder)],
        cwd=folder,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


LONG = ("debug=smoke", "models.lstm.max_epochs=4000", "models.lstm.patience=4000")


def test_a_second_run_on_the_same_output_is_refused_and_the_lock_dies_with_its_process(tmp_path):
    process = started(tmp_path, *LONG)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("[1/"))
        refused = command("train_all", *LONG, *places(tmp_path), cwd=tmp_path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert refused.returncode == 2
    line = f"configuration error: output_dir: another run is at work in {tmp_path}/out (process "
    assert refused.stderr.startswith(f"{line}{process.pid} on ")
    assert refused.stderr.count("\n") == 1
    freed = command("train_all", *ONE, *places(tmp_path), cwd=tmp_path)
    assert freed.returncode == 0, freed.stderr


FORESTS = (
    *("debug=smoke", "data.n_bars=3000", "tracking=none", "~models.mlp", "~models.lstm"),
    *("models.random_forest.n_estimators=400", "~models.xgboost", *LENIENT),
)


# A disk that is full when rows are written, when a model is saved, and when it is made ONNX.
@pytest.mark.parametrize("full_at", ["rows", "model.safetensors", "model.onnx"])
def test_a_full_disk_ends_the_run_in_one_line_and_leaves_the_old_manifest(tmp_path, full_at):
    before = trained(tmp_path, *FORESTS).manifest
    assert before["summary"]["models_selected"] == 1
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("deploy/artifacts/*/*/*")}
    # A limit on the size of files does for everyone, a small disk of its own only for root.
    most = sizes.get(full_at, 4001) - 1
    shutil.rmtree(tmp_path / "out")
    limited = started(
        tmp_path,
        *FORESTS,
        "execution.workers=2",
        preexec_fn=lambda: (
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
        ),
    )
    _, complaint = limited.communicate(timeout=120)
    assert limited.returncode == 1, complaint
    assert complaint.startswith(f"stopped: {tmp_path}/")
    assert "File too large; what was finished is kept" in complaint
    assert complaint.count("\n") == 1
    assert json.loads((tmp_path / "deploy" / "manifest.json").read_text()) == before


def test_a_manifest_that_an_earlier_start_of_the_same_work_wrote_stays(tmp_path):
    trained(tmp_path, *FORESTS)
    manifest, state = tmp_path / "deploy" / "manifest.json", tmp_path / "out" / "execution.json"
    before = manifest.read_bytes()
    # As if it had been killed just after it wrote the manifest.
    state.write_text(state.read_text().replace('"has_ended": true', '"has_ended": false'))
    again = trained(tmp_path, *FORESTS)
    assert "resuming" in again.printed
    assert manifest.read_bytes() == before
    assert not (tmp_path / "deploy" / "history").exists()


def test_what_a_killed_run_left_half_done_is_cleared_and_nothing_else(tmp_path):
    ours, others = tmp_path / "out", tmp_path / "out" / "elsewhere" / ".theirs.tmp"
    (ours / ".rows-abc" / "EURUSD").mkdir(parents=True)
    (ours / "results").mkdir()
    (ours / "results" / ".EURUSD_MLP.json.0a1b2c3d.tmp").write_text("half")
    others.mkdir(parents=True)
    run = trained(tmp_path, *ONE)
    assert run.code == 0
    assert others.is_dir()
    assert [path.name for path in ours.rglob(".*") if path.name != ".lock"] == [".theirs.tmp"]


def test_a_memory_limit_is_honoured_by_running_fewer_at_a_time(tmp_path, monkeypatch):
    from training import memory

    monkeypatch.setattr(memory, "free_bytes", lambda: 3_500_000_000)
    run = trained(tmp_path, *ONE, "execution.workers=4", "execution.memory_limit=3GB")
    assert "1 workers instead of 4: there is no memory for more" in run.printed
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(os.name != "posix", reason="nobody else to ask")
def test_an_output_that_cannot_be_written_to_is_told_by_its_key():
    ask = (
        "from pathlib import Path; from pipelines.writable import writable_folder as ask; import os"
    )
    # Root may write anywhere.
    ask += "; os.setuid(os.getuid() or 65534); ask('output_dir', Path('runs'))"
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o555)
        refused = subprocess.run(
            [sys.executable, "-c", ask],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        Path(folder).chmod(0o755)
    sentence = "ConfigError: output_dir: runs cannot be made: Permission denied"
    assert refused.stderr.splitlines()[-1].endswith(sentence)


@pytest.mark.usefixtures("heeds_interrupts")
def test_ctrl_c_while_workers_start_ends_within_seconds_and_leaves_nobody(tmp_path):
    process = started(tmp_path, *TINY, "execution.workers=2")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("reading")
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=15)
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
