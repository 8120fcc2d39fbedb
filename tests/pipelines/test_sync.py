"""`python -m pipelines.sync`, as it is typed."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.pipelines.conftest import command
from tests.tracking.conftest import NO_FACTS, new_tracker
from tests.tracking.sample_records import failed_record, new_run


@pytest.fixture
def left_waiting(tmp_path):
    """A folder in which a run of two records waits for a server that is not there."""
    tracker = new_tracker("http://127.0.0.1:9", queue=str(tmp_path / "queue"))
    tracker.start(new_run())
    tracker.log_model(failed_record(tmp_path))
    tracker.finish(**NO_FACTS, status="FINISHED")
    return tmp_path


def test_where_nothing_waits_nothing_is_made_and_all_is_well(tmp_path):
    ended = command("sync", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("nothing waits for sqlite:///mlruns/mlflow.db in ")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_said_and_all_still_waits(left_waiting):
    store = ("tracking=server", "tracking.uri=http://127.0.0.1:9")
    queue = f"tracking.queue={left_waiting}/queue"
    ended = command("sync", *store, queue, "output=said.json", cwd=left_waiting)
    assert (ended.returncode, ended.stderr) == (1, "")
    reason = "MLflow at http://127.0.0.1:9 cannot be reached (connection refused)"
    assert f"\n{reason}\n" in ended.stdout
    said = json.loads((left_waiting / "said.json").read_text())
    assert (said["delivered"], said["waiting"], said["unreachable"]) == (0, 3, reason)


def test_what_waits_is_delivered_to_wherever_its_store_has_moved(left_waiting):
    (queue,) = (left_waiting / "queue").iterdir()
    (left_waiting / "mlruns").mkdir()
    queue.rename(left_waiting / "mlruns" / "queue")
    (session,) = (left_waiting / "mlruns" / "queue").glob("2*Z-????????")
    (session / "000002-model" / "record.json").write_text("no JSON")
    ended = command("sync", "format=json", cwd=left_waiting)
    said = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert (said["delivered"], said["waiting"]) == (2, 0)
    assert list(said["sessions"][0]["set_aside"]) == ["000002-model"]
    again = command("sync", cwd=left_waiting)
    assert again.returncode == 3
    assert "1 set aside in" in again.stdout


def test_two_that_sync_at_once_deliver_each_record_once(left_waiting):
    (queue,) = (left_waiting / "queue").iterdir()
    (left_waiting / "mlruns").mkdir()
    queue.rename(left_waiting / "mlruns" / "queue")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: command("sync", "format=json", cwd=left_waiting), range(2)))
    said = [json.loads(one.stdout) for one in both]
    assert sum(one["delivered"] for one in said) == 3
    # One may find the other at it.
    assert {one.returncode for one in both} <= {0, 3}
    with closing(sqlite3.connect(left_waiting / "mlruns" / "mlflow.db")) as store:
        (runs,) = store.execute("SELECT count(*) FROM runs").fetchone()
    assert runs == 2


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("tracking=server", "tracking.uri is missing: give tracking.uri=..."),
        ("tracking=none", "tracking=none has no store; use tracking=sqlite or tracking=server"),
        ("fromat=json", "fromat: unknown key, did you mean format?"),
        ("tracking.patience_s=0", "tracking.patience_s must be above 0, was 0"),
        ("tracking.uri=postgresql://me:s3cret@host/db", "tracking.uri must be sqlite:///<file>"),
    ],
)
def test_a_wrong_configuration_is_one_line(argument, complaint, tmp_path):
    ended = command("sync", argument, cwd=tmp_path)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "s3cret" not in ended.stderr
