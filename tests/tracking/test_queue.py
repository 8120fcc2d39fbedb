"""What the store did not take waits on disk: whole, in order, and for one delivery."""

import json
import math
import pickle
import re
import shutil
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.conftest import (
    NO_FACTS,
    champion,
    fill_the_disk,
    new_tracker,
    promoted,
    reading_client,
)
from tests.tracking.sample_records import PARENT, failed_record, full_record, new_run
from tracking.calls import Ended, Promotion, Started
from tracking.kept_calls import MalformedRecordError, keep_call, kept_call
from tracking.records import NOT_LOGGED, ModelRecord, Verdict
from tracking.session import (
    QueueError,
    Session,
    aside,
    put_aside,
    queue_of,
    session_folders,
    sweep_locks,
)
from tracking.syncing import sync

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NOW = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)
PROMOTION = Promotion("EURUSD", "3", None, True, "Text", "/a/manifest.json", "ab", NOW)


def quietly_synced(tracker):
    return sync(tracker.uri, tracker.queue, lambda _synced: None)


def told_offline(folder, *, models=("A",), then=lambda _tracker: None, finishes=True):
    """Tell a tracker of a run while its database is a folder; then take that away."""
    database = folder / "mlflow.db"
    if database.exists():
        database.rename(folder / "away.db")
    database.mkdir()
    tracker = new_tracker(f"sqlite:///{database}")
    tracker.start(new_run())
    for model in models:
        tracker.log_model(full_record(folder / str(len(list(folder.iterdir()))), model=model))
    then(tracker)
    if finishes:
        tracker.finish(**NO_FACTS, status="FINISHED")
    database.rmdir()
    if (folder / "away.db").exists():
        (folder / "away.db").rename(database)
    return tracker


@pytest.mark.parametrize(
    "call",
    [
        Started(PARENT, NOW),
        PROMOTION,
        Verdict("EURUSD", "LSTM", NOT_LOGGED, "refused: too weak", "| a |"),
        Ended({"n": 1.0}, {"a": "b"}, (), "FINISHED", None, "", NOW),
    ],
)
def test_a_call_comes_back_from_disk_as_it_was(call, tmp_path):
    keep_call(tmp_path / "000001-call", call)
    assert kept_call(tmp_path / "000001-call") == call


def test_a_model_comes_back_with_its_files_and_its_numbers(tmp_path):
    record = full_record(tmp_path / "saved")
    record = replace(record, curves={"loss": [math.nan, math.inf, 0.1 + 0.2]})
    keep_call(tmp_path / "000001-model", record)
    shutil.rmtree(tmp_path / "saved")
    read = kept_call(tmp_path / "000001-model")
    assert (read.artifact_folder / "probability.txt").read_text() == "0.75"
    np.testing.assert_array_equal(read.input_example, record.input_example)
    np.testing.assert_array_equal(read.curves["loss"], record.curves["loss"])
    plain = {"artifact_folder": None, "input_example": None, "curves": {}}
    assert replace(read, **plain) == replace(record, **plain)


@settings(max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_record_with_a_flipped_bit_is_refused_or_reads_as_a_record_still(
    where, bit, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("record") / "000001-model"
    saved = folder.parent / "saved"
    keep_call(folder, full_record(saved))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in files]
    place = int(where * sum(map(len, contents)))
    for path, content in zip(files, contents, strict=True):
        if place < len(content):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            break
        place -= len(content)
    if path.name == "record.json":
        # Other text in the place of text cannot be told; all else is.
        with suppress(MalformedRecordError):
            assert isinstance(kept_call(folder), ModelRecord)
    else:
        with pytest.raises(MalformedRecordError, match=r"^000001-model: .* was changed$"):
            kept_call(folder)


def spoiled(folder, how):
    """Keep a record and change it as nobody does by accident."""
    record = folder / "000001-model"
    keep_call(record, full_record(folder / "saved"))
    file = record / "record.json"
    document = json.loads(file.read_text())
    secret = folder / "secret.txt"
    secret.write_text("secret")
    if how == "pickle":
        file.write_bytes(pickle.dumps(document))
    elif how == "escape":
        document["call"]["artifact_folder"] = "../saved"
    elif how == "absolute":
        document["call"]["artifact_folder"] = str(secret)
    elif how == "link":
        (record / "files" / "0" / "linked").symlink_to(secret)
    elif how == "extra":
        (record / "files" / "extra.txt").write_text("more")
    elif how == "type":
        document["call"]["metrics"] = ["no", "mapping"]
    elif how == "kind":
        document["kind"] = "os.system"
    elif how == "deep":
        file.write_text("[" * 100_000)
    elif how == "objects":
        np.save(record / "input_example.npy", np.array([{}], dtype=object), allow_pickle=True)
        from tracking.kept_calls import _digest

        document["files"]["input_example.npy"] = _digest(record / "input_example.npy")
    if how not in ("pickle", "deep"):
        file.write_text(json.dumps(document))
    return record


HOW = ["pickle", "escape", "absolute", "link", "extra", "type", "kind", "deep", "objects"]


@pytest.mark.parametrize("how", HOW)
def test_a_record_made_to_deceive_is_refused_in_one_line(how, tmp_path):
    with pytest.raises(MalformedRecordError, match=r"^000001-model: ") as refused:
        kept_call(spoiled(tmp_path, how))
    assert "\n" not in str(refused.value)


def test_what_cannot_be_read_is_set_aside_by_name_and_the_others_go_on(store_folder):
    tracker = told_offline(store_folder, models=("A", "B"))
    (first, *_) = tracker.queue.glob("*/000002-model")
    (first / "record.json").write_text("{")
    report = quietly_synced(tracker)
    (synced,) = report.sessions
    assert (synced.delivered, synced.waiting) == (3, 0)
    assert list(synced.set_aside) == ["000002-model"]
    assert [path.name for path in aside(tracker.queue)] == [f"{synced.session}-000002-model"]
    versions = reading_client(store_folder).search_model_versions("name = 'EURUSD'")
    assert [one.tags["model"] for one in versions] == ["B"]


def test_syncing_twice_delivers_once(store_folder):
    tracker = told_offline(store_folder, models=("A", "B"))
    assert (tracker.waiting, list(map(str, tracker.queue.glob("*.db")))) == (4, [])
    first, second = quietly_synced(tracker), quietly_synced(tracker)
    assert [one.delivered for one in first.sessions] == [4]
    assert second.sessions == []
    client = reading_client(store_folder)
    experiment = client.get_experiment_by_name("train_all").experiment_id
    found = client.search_runs([experiment])
    assert sorted(run.info.run_name for run in found) == ["EURUSD A", "EURUSD B", PARENT.name]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert list(tracker.queue.iterdir()) == []


def test_the_next_run_delivers_what_waits(store_folder):
    told_offline(store_folder)
    tracker = new_tracker(f"sqlite:///{store_folder}/mlflow.db")
    tracker.start(new_run())
    tracker.finish(**NO_FACTS, status="FINISHED")
    client = reading_client(store_folder)
    experiment = client.get_experiment_by_name("train_all").experiment_id
    assert len(client.search_runs([experiment])) == 3
    assert list(tracker.queue.iterdir()) == []


def test_a_promotion_that_waited_gives_way_to_a_newer_one(store_folder):
    uri = f"sqlite:///{store_folder}/mlflow.db"
    tracker = new_tracker(uri)
    tracker.start(new_run())
    for model in ("A", "B"):
        tracker.log_model(full_record(store_folder / "saved", model=model))
    tracker.finish(**NO_FACTS, status="FINISHED")
    old = told_offline(store_folder, models=(), then=lambda one: promoted(one, "1"))
    with closing(new_tracker(uri, queue=str(store_folder / "another"))) as newer:
        assert promoted(newer, "2") is None
    (synced,) = quietly_synced(old).sessions
    assert champion(reading_client(store_folder)) == "2"
    assert synced.delivered == 3
    assert synced.remarks[0].startswith("alias champion stays with version 2, promoted at")


def test_a_model_that_waits_is_promoted_by_its_name(store_folder):
    told = {"simulated": True, "description": "Alias", "model": "A"}
    tracker = told_offline(
        store_folder,
        models=("A", "B"),
        then=lambda one: one.promote("EURUSD", None, **told),
        finishes=False,
    )
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure is None
    client = reading_client(store_folder)
    assert client.get_model_version_by_alias("EURUSD", "champion").tags["model"] == "A"


def test_a_session_in_use_is_left_alone_and_one_that_ended_is_not(tmp_path):
    mine = Session.begun(tmp_path, execution="a", experiment="x")
    mine.append(PROMOTION)
    assert Session.claimed(mine.folder) is None
    report = sync(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, lambda _synced: None)
    assert [(one.waiting, one.reason) for one in report.sessions] == [
        (1, "its run goes on, or another sync is delivering it")
    ]
    mine.release()
    again = Session.claimed(mine.folder)
    assert (again.execution, again.experiment) == ("a", "x")
    again.remove()
    assert list(session_folders(tmp_path)) == []


def test_a_version_that_the_store_does_not_have_is_set_aside_and_the_run_goes_on(
    store_folder, caplog
):
    tracker = new_tracker(f"sqlite:///{store_folder}/mlflow.db")
    tracker.start(new_run())
    for version in ("9", "10"):
        assert promoted(tracker, version, name="NEVER") is None
    assert tracker.log_model(failed_record(store_folder)).run_id is not None
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert "2 set aside in" in tracker.failure
    assert "could not be kept" not in tracker.failure
    kept = [kept_call(record).version for one in aside(tracker.queue) for record in one.glob("0*")]
    assert kept == ["9", "10"]
    assert "a record was set aside" in caplog.text


def test_what_goes_by_the_name_of_another_is_set_aside_beside_it(tmp_path):
    for reason in ("first", "second"):
        (tmp_path / "record").mkdir()
        put_aside(tmp_path / "record", tmp_path, "name", reason)
    reasons = [(one / "reason.txt").read_text() for one in aside(tmp_path)]
    assert reasons == ["first\n", "second\n"]


def test_a_queue_that_takes_nothing_is_not_taken_for_a_store_that_fails(store_folder):
    tracker = told_offline(store_folder)
    (first, *_) = tracker.queue.glob("*/000002-model")
    (first / "record.json").write_text("{")
    (tracker.queue / "set_aside").write_text("no folder")
    (synced,) = quietly_synced(tracker).sessions
    assert (synced.delivered, synced.waiting) == (1, 2)
    assert synced.reason.startswith(f"{tracker.queue} cannot be written to (")
    with pytest.raises(QueueError):
        put_aside(first, tracker.queue, "name", "why")
    assert first.is_dir()


def test_what_waits_is_caught_up_with_in_small_parts_and_in_order(store_folder, monkeypatch):
    monkeypatch.setattr("tracking.mlflow_tracker._CATCH_UP_S", 0.0)
    tracker = told_offline(store_folder, models=("A", "B"), finishes=False)
    tracker._carrier.patience._resumes_s = 0.0
    assert tracker.waiting == 3
    kinds = []
    for _ in range(2):
        assert tracker.log_model(failed_record(store_folder / str(len(kinds)))) == NOT_LOGGED
        kinds.append([path.name for path in sorted(tracker.queue.glob("*/0*"))])
    assert kinds == [
        ["000002-model", "000003-model", "000004-model"],
        ["000003-model", "000004-model", "000005-model"],
    ]
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert (tracker.failure, tracker.waiting) == (None, 0)


def test_a_later_part_of_a_run_waits_for_an_earlier_one_that_is_in_use(store_folder):
    uri, run = f"sqlite:///{store_folder}/mlflow.db", new_run()
    queue = queue_of(uri, None)
    earlier = Session.begun(queue, execution=run.execution, experiment="train_all")
    earlier.append(Started(run, NOW))
    tracker = new_tracker(uri)
    assert tracker.start(run) is None
    assert tracker.failure.startswith(f"an earlier part of this run, {earlier.folder}, its run")
    tracker.close()
    found = quietly_synced(tracker).sessions
    assert [one.delivered for one in found] == [0, 0]
    assert found[1].reason == "comes after an earlier part of the same run"
    earlier.release()
    assert [one.delivered for one in quietly_synced(tracker).sessions] == [1, 1]


def test_locks_that_the_dead_left_are_swept_and_those_of_the_living_stay(tmp_path):
    alive = Session.begun(tmp_path, execution="a", experiment="x")
    for name in ("20260302T080000000000Z-00000000", "another"):
        (tmp_path / f"{name}.lock").touch()
    shutil.rmtree(alive.folder)
    sweep_locks(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f"{alive.name}.lock",
        "another.lock",
    ]
    alive.release()
    sweep_locks(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["another.lock"]


def test_a_session_that_does_not_reach_the_disk_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tracking.disk.os.fsync", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        Session.begun(tmp_path, execution="a", experiment="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "folder", "wanted"),
    [
        ("sqlite:///a/mlflow.db", None, r"/a/queue$"),
        ("http://joe:s3cret@host:5000/x", None, r"/mlruns/queue/host-5000-[0-9a-f]{10}$"),
        ("https://host", "/spool", r"^/spool/host-[0-9a-f]{10}$"),
        ("sqlite:///a/mlflow.db", "/spool", r"^/spool/mlflow-[0-9a-f]{10}$"),
    ],
)
def test_each_store_has_a_queue_of_its_own_that_names_no_password(uri, folder, wanted):
    found = str(queue_of(uri, folder))
    assert re.search(wanted, found)
    assert queue_of(uri.replace("s3cret", "changed"), folder) == queue_of(uri, folder)
