import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Three processes that start at once on a store that is not there yet."""
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
        for i in range(3)
    ]
    said = [process.communicate()[0] for process in started]
    return root / "new", [process.returncode for process in started], said


def rows(store, query):
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        return database.execute(query).fetchall()


def test_processes_that_start_together_on_a_new_store_all_succeed(crowd):
    store, exit_codes, said = crowd
    assert exit_codes == [0, 0, 0], said
    assert rows(store, "SELECT status, count(*) FROM runs GROUP BY status") == [("FINISHED", 6)]
    assert rows(store, "SELECT version FROM model_versions ORDER BY version") == [(1,), (2,), (3,)]


def test_a_tracked_run_says_nothing_on_the_console(crowd):
    assert crowd[2] == ["", "", ""]


def test_a_new_store_writes_ahead_and_keeps_artifacts_beside_it_by_absolute_path(crowd):
    store = crowd[0]
    assert rows(store, "PRAGMA journal_mode") == [("wal",)]
    location = "SELECT artifact_location FROM experiments WHERE name = 'train_all'"
    assert rows(store, location) == [((store / "artifacts").as_uri(),)]
