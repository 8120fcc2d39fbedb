import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tracking.store import open_store, quiet

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Two processes that start at once on a store that is not there yet."""
    root = tmp_path_factory.mktemp("crowd")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"}
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.tracking.log_one_model",
                "sqlite:///new/mlflow.db",
                str(root / f"saved_{i}"),
            ],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    said = [process.communicate()[0] for process in started]
    return root / "new", [process.returncode for process in started], said


def rows(store, query):
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        return database.execute(query).fetchall()


def test_processes_that_start_together_on_a_new_store_all_succeed(crowd):
    store, exit_codes, said = crowd
    assert exit_codes == [0, 0], said
    assert rows(store, "SELECT status, count(*) FROM runs GROUP BY status") == [("FINISHED", 4)]
    assert rows(store, "SELECT version FROM model_versions ORDER BY version") == [(1,), (2,)]


def test_a_tracked_run_says_nothing_on_the_console(crowd):
    assert crowd[2] == ["", ""]


def test_a_new_store_writes_ahead_and_keeps_artifacts_beside_it_by_absolute_path(crowd):
    store = crowd[0]
    assert rows(store, "PRAGMA journal_mode") == [("wal",)]
    location = "SELECT artifact_location FROM experiments WHERE name = 'train_all'"
    assert rows(store, location) == [((store / "artifacts").as_uri(),)]


def test_a_store_whose_making_was_cut_off_is_made_anew(tmp_path):
    open_it = f"from tracking.store import open_store, quiet; from contextlib import ExitStack;\
e = ExitStack(); e.enter_context(quiet()); open_store('sqlite:///{tmp_path}/mlflow.db', 'one')"
    killed = subprocess.Popen(
        [sys.executable, "-c", open_it], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    while not any(path.stat().st_size for path in tmp_path.glob(".mlflow.db.*.tmp")):
        assert killed.poll() is None, killed.communicate()
    time.sleep(0.3)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    with quiet():
        open_store(f"sqlite:///{tmp_path}/mlflow.db", "one")
    assert rows(tmp_path, "SELECT name FROM experiments WHERE name = 'one'") == [("one",)]
    assert list(tmp_path.glob(".mlflow.db.*")) == []


def test_an_interrupt_while_mlflow_is_imported_comes_when_it_is_whole():
    ask = """
import threading, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
from tracking.store import import_mlflow
for after in (0.1, 0.4, 0.8):
    threading.Timer(after, signal.raise_signal, [signal.SIGINT]).start()
try:
    import_mlflow()
except KeyboardInterrupt:
    import mlflow, alembic.util
    print(mlflow.MlflowClient.__name__)
"""
    told = subprocess.run(
        [sys.executable, "-c", ask], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert told.stdout == "MlflowClient\n", told.stderr
