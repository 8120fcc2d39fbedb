"""A model's out-of-fold predictions beside the manifest: named, verified, copied with it."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from selection import DeployedModels, DeploymentError
from selection.promotion import promote, roll_back
from selection.stored_predictions import (
    prediction_refusals,
    store_predictions,
    verified_predictions,
)
from tests.selection.conftest import edited

TIMES = ("first_decision", "last_decision", "development_end")


def stated(path):
    content = path.read_bytes()
    facts = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}
    moments = dict.fromkeys(TIMES, "2024-01-01T00:00:00+00:00")
    return {**facts, "bytes": len(content), "rows": 3, **moments}


@pytest.fixture
def named(copied, tmp_path):
    """A manifest that names predictions of EURUSD: its path and theirs."""
    source = tmp_path / "EURUSD_RandomForest.parquet"
    source.write_bytes(b"rows")
    entry = store_predictions(source, copied.parent, "EURUSD", "RandomForest", stated(source))
    edited(copied, lambda one: one.update(predictions=entry))
    return copied, copied.parent / entry["path"]


def moved(source, live):
    now_utc = datetime(2026, 1, 1, tzinfo=UTC)
    return promote(source, live, reason=None, public_key=None, now_utc=now_utc)


def test_they_are_stored_once_by_content_and_read_back_as_they_were(named, tmp_path):
    manifest, place = named
    entry = json.loads(manifest.read_text())["selections"]["EURUSD"]["predictions"]
    assert set(entry) == {"path", "sha256", "bytes", "rows", *TIMES}
    assert place.name == f"RandomForest-{entry['sha256'][:12]}.parquet"
    source, at = tmp_path / "EURUSD_RandomForest.parquet", place.stat().st_mtime_ns
    again = store_predictions(source, manifest.parent, "EURUSD", "RandomForest", stated(source))
    assert (again, place.stat().st_mtime_ns) == (entry, at)
    selection = DeployedModels.from_manifest(manifest).selection("EURUSD")
    assert verified_predictions(manifest.parent, "EURUSD", selection) == b"rows"


def test_a_file_that_is_not_what_was_said_of_it_is_not_stored(tmp_path):
    source = tmp_path / "one.parquet"
    source.write_bytes(b"rows")
    said = stated(source)
    for name in ("../EURUSD", "", "a/b"):
        with pytest.raises(ValueError, match="cannot name a file"):
            store_predictions(source, tmp_path / "deploy", name, "RandomForest", said)
    source.write_bytes(b"others")
    with pytest.raises(ValueError, match="has changed since it was written; train again"):
        store_predictions(source, tmp_path / "deploy", "EURUSD", "RandomForest", said)
    source.unlink()
    with pytest.raises(ValueError, match="is missing; train again"):
        store_predictions(source, tmp_path / "deploy", "EURUSD", "RandomForest", said)
    assert not (tmp_path / "deploy").exists()


def spoil(place):
    place.write_bytes(b"tows")


def link(place):
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (spoil, "has SHA-256"),
        (lambda place: place.write_bytes(b"more rows"), "has 9 bytes, the manifest says 4"),
        (lambda place: place.unlink(), "is missing; fetch it again"),
        (link, "is a link, expected the file itself"),
    ],
)
def test_what_the_manifest_does_not_say_is_refused_but_trading_live_goes_on(named, change, finding):
    manifest, place = named
    change(place)
    deployed = DeployedModels.from_manifest(manifest)
    assert "EURUSD" in deployed.symbols
    selection = deployed.selection("EURUSD")
    (line,) = prediction_refusals(manifest.parent, "EURUSD", selection)
    assert line.startswith("EURUSD: predictions/EURUSD/RandomForest-")
    with pytest.raises(DeploymentError, match=finding):
        verified_predictions(manifest.parent, "EURUSD", selection)


def test_a_manifest_of_an_earlier_version_verifies_but_has_none(copied):
    selection = DeployedModels.from_manifest(copied).selection("EURUSD")
    assert prediction_refusals(copied.parent, "EURUSD", selection) == []
    with pytest.raises(
        DeploymentError, match="names no out-of-fold predictions of RandomForest; t"
    ):
        verified_predictions(copied.parent, "EURUSD", selection)


def test_they_are_promoted_with_the_manifest_and_lead_back_with_it(named, copied, tmp_path):
    manifest, place = named
    live = tmp_path / "live" / "m.json"
    moved(manifest, live)
    copy = live.parent / place.relative_to(manifest.parent)
    assert copy.read_bytes() == b"rows"
    edited(manifest, lambda one: one.update(reason="other"))
    moved(manifest, live)
    back = roll_back(live, None, reason=None, public_key=None, now_utc=datetime.now(UTC))
    assert json.loads(live.read_text())["selections"]["EURUSD"]["reason"] == "best"
    assert back.warnings == ()


def test_going_back_does_not_wait_for_predictions_but_says_what_is_wrong_with_them(named, tmp_path):
    manifest, place = named
    live = tmp_path / "live" / "m.json"
    moved(manifest, live)
    edited(manifest, lambda one: one.update(reason="other"))
    moved(manifest, live)
    copy = live.parent / place.relative_to(manifest.parent)
    spoil(copy)
    back = roll_back(live, None, reason=None, public_key=None, now_utc=datetime.now(UTC))
    assert json.loads(live.read_text())["selections"]["EURUSD"]["reason"] == "best"
    (warning,) = back.warnings
    assert warning.startswith("EURUSD: predictions/EURUSD/RandomForest-")
    spoil(place)
    with pytest.raises(DeploymentError, match=r"EURUSD: predictions/EURUSD/\S+ has SHA-256"):
        moved(manifest, live)


def test_others_that_lie_where_they_belong_are_not_overwritten(named, tmp_path):
    manifest, place = named
    live = tmp_path / "live" / "m.json"
    other = live.parent / place.relative_to(manifest.parent)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"other")
    with pytest.raises(DeploymentError, match=r"has 5 bytes, .*; remove it and promote again"):
        moved(manifest, live)
    assert other.read_bytes() == b"other"
    assert not live.exists()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"path": "../x"}, "selections.EURUSD.predictions.path: '../x' does not match"),
        ({"development_end": "soon"}, "selections.EURUSD.predictions.development_end: 'soon'"),
        ({"bytes": -1}, "selections.EURUSD.predictions.bytes: -1 is less than the minimum"),
    ],
)
def test_an_entry_that_cannot_be_right_breaks_the_schema(named, change, finding):
    manifest, _ = named
    edited(manifest, lambda one: one["predictions"].update(change))
    with pytest.raises(DeploymentError, match=finding):
        DeployedModels.from_manifest(manifest)


def test_an_entry_that_claims_more_than_is_ever_read_is_refused_unread(named):
    manifest, _ = named
    edited(manifest, lambda one: one["predictions"].update(bytes=10**12))
    selection = DeployedModels.from_manifest(manifest).selection("EURUSD")
    with pytest.raises(DeploymentError, match="the most that are read are"):
        verified_predictions(manifest.parent, "EURUSD", selection)
