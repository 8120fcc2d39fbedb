import copy
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import ModelSelector
from selection.json_safe import UnserialisableFieldWarning
from selection.manifest import validate_manifest

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
SELECTED = {
    "selected_model": "MLP",
    "test_accuracy": 0.6,
    "train_val_gap": 0.1,
    "reason": "Best score (0.550) with gap 10.0%",
    "alternatives": [{"model": "LSTM", "test_accuracy": 0.56, "train_val_gap": 0.1}],
}
NONE_LEFT = {
    "selected_model": None,
    "reason": "No models met quality criteria",
    "action": "MANUAL_REVIEW_REQUIRED",
}
ARTIFACT = {"path": "artifacts/EURUSD/MLP-0/model.json", "sha256": "0" * 64, "bytes": 7}
WINDOW = {"start": "2024-01-01T00:00:00+00:00", "end": "2024-02-01T00:00:00+00:00", "rows": 9}
RICH = {
    **SELECTED,
    "artifacts": [ARTIFACT],
    "model_version": 3,
    "model_uri": "models:/EURUSD/3",
    "features": {"names": ["atr", "RSI"], "digest": "a" * 64},
    "label": {"profit_atr": 2.0},
    "split": {"kind": "walk_forward"},
    "windows": {"train": WINDOW, "holdout": "awaiting live data"},
    "evidence": None,
    "holdout": None,
    "expectancy": {"expectancy_r": None},
    "decision_threshold": 0.55,
    "reference_verdict": {"max_gap": False, "passed": False},
}


def save(path: Path, selections: dict[str, Any], **more: Any) -> dict[str, Any]:
    return ModelSelector().save_deployment_manifest(selections, path, **more)


def document() -> dict[str, Any]:
    manifest = {
        "schema_version": 1,
        "timestamp": "2024-01-02T12:00:00+00:00",
        "previous_manifest_sha256": None,
        "provenance": {"run_id": "r1", "simulated": True, "seed": 7},
        "selection_criteria": {
            "max_train_val_gap": 0.2,
            "min_test_accuracy": 0.55,
            "max_val_test_diff": 0.05,
        },
        "selections": {"EURUSD": RICH, "GBPUSD": NONE_LEFT},
        "summary": {"total_symbols": 2, "models_selected": 1, "manual_review_needed": 1},
    }
    return copy.deepcopy(manifest)


def test_the_file_holds_what_a_deployer_of_the_reference_system_reads(tmp_path: Path) -> None:
    path = tmp_path / "deploy" / "deployment_manifest.json"
    returned = save(path, {"EURUSD": SELECTED, "GBPUSD": NONE_LEFT})
    read = json.loads(path.read_text())
    assert read == returned
    assert datetime.fromisoformat(read["timestamp"]).utcoffset() == timedelta(0)
    assert read["selections"] == {"EURUSD": SELECTED, "GBPUSD": NONE_LEFT}
    expected = document()
    assert read["selection_criteria"] == expected["selection_criteria"]
    assert read["summary"] == expected["summary"]
    assert read["previous_manifest_sha256"] is None
    assert "provenance" not in read


def test_richer_selections_and_provenance_are_kept(tmp_path: Path) -> None:
    provenance = {"run_id": "r1", "simulated": True, "seed": 7}
    selections = {"EURUSD": RICH, "GBPUSD": NONE_LEFT}
    plus_two = timezone(timedelta(hours=2))
    for moment in (NOON, NOON.replace(tzinfo=None), NOON.astimezone(plus_two)):
        path = tmp_path / str(moment) / "manifest.json"
        written = save(path, selections, provenance=provenance, clock=lambda now=moment: now)
        assert written == document()


def test_a_reference_manifest_without_any_addition_is_valid() -> None:
    manifest = document()
    for key in ("schema_version", "previous_manifest_sha256", "provenance"):
        del manifest[key]
    manifest["selections"]["EURUSD"] = SELECTED
    validate_manifest(manifest)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=255),
        st.fixed_dictionaries(
            {
                "train": st.floats(0, 1),
                "val_accuracy": st.floats(0.5, 0.7),
                "test_accuracy": st.floats(0.5, 0.7),
            }
        ),
    )
)
def test_whatever_is_selected_makes_a_valid_manifest(histories: dict[str, Any]) -> None:
    results = {
        symbol: {"MLP": {"history": {**history, "train_accuracy": history["train"]}}}
        for symbol, history in histories.items()
    }
    manifest = document()
    manifest["selections"] = chosen = ModelSelector().select_best_models(results)
    ready = sum(one["selected_model"] == "MLP" for one in chosen.values())
    manifest["summary"] = {
        "total_symbols": len(chosen),
        "models_selected": ready,
        "manual_review_needed": len(chosen) - ready,
    }
    del manifest["provenance"]
    validate_manifest(manifest)


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (["selection_criteria", "max_depth"], 3, "selection_criteria"),
        (["summary", "note"], "x", "summary"),
        (["summary", "models_selected"], 2, "summary.models_selected"),
        (["timestamp"], "2024-01-02 12:00", "timestamp"),
        (["timestamp"], "2024-01-02T12:00:00Z\n", "timestamp"),
        (["previous_manifest_sha256"], "A" * 64, "previous_manifest_sha256"),
        (["schema_version"], 2, "schema_version"),
        (["selections", "EURUSD", "test_accuracy"], None, "selections.EURUSD.test_accuracy"),
        (["selections", "EURUSD", "artifacts"], [], "selections.EURUSD.artifacts"),
        (["selections", "EURUSD", "windows", "test"], "soon", "selections.EURUSD.windows.test"),
        (["selections", "EURUSD", "selected_model"], "", "selections.EURUSD.selected_model"),
        (["selections", "EURUSD", "features"], {"names": []}, "selections.EURUSD.features"),
        (["selections", "GBPUSD"], {"selected_model": None}, "selections.GBPUSD"),
    ],
)
def test_a_broken_manifest_is_refused_with_the_place_in_it(
    keys: list[str], value: object, place: str
) -> None:
    manifest = document()
    validate_manifest(manifest)
    target = manifest
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    with pytest.raises(ValueError, match=rf"^deployment manifest, {place}: .+") as caught:
        validate_manifest(manifest)
    assert "\n" not in str(caught.value)


UNPRINTED = ["E\x1b[2J\nU", "E\n", "E\x00", "E\x9bU", "E\u202eU", "", "E" * 256]


@pytest.mark.parametrize("name", UNPRINTED)
def test_a_name_that_a_terminal_would_act_on_is_refused(name: str) -> None:
    manifest = document()
    manifest["selections"]["EURUSD"]["selected_model"] = name
    with pytest.raises(ValueError, match=r"selections.EURUSD.selected_model: ") as by_model:
        validate_manifest(manifest)
    manifest = document()
    manifest["selections"][name] = manifest["selections"].pop("EURUSD")
    with pytest.raises(ValueError, match=r"manifest, selections: ") as by_symbol:
        validate_manifest(manifest)
    assert (str(by_model.value) + str(by_symbol.value)).isprintable()


@pytest.mark.parametrize("symbol", ["S&P 500", "BRK.B", "Öl", "ES=F", "EURUSD (2)", "x" * 251])
def test_what_a_price_file_may_be_called_can_stand_in_a_manifest(symbol: str) -> None:
    manifest = document()
    manifest["selections"][symbol] = manifest["selections"].pop("GBPUSD")
    validate_manifest(manifest)


def test_a_place_in_a_manifest_is_named_in_printed_signs() -> None:
    manifest = document()
    manifest["provenance"]["library_versions"] = {"E\x1b[2J\nU": 3}
    with pytest.raises(ValueError, match=r"library_versions\.E\\x1b\[2J\\nU: 3 is ") as refused:
        validate_manifest(manifest)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        ({"path": "../model.json"}, "path"),
        ({"path": "artifacts/../../model.json"}, "path"),
        ({"path": "/etc/model.json"}, "path"),
        ({"path": "a//b"}, "path"),
        ({"path": "a/."}, "path"),
        ({"path": "a/"}, "path"),
        ({"path": "C:\\model.json"}, "path"),
        ({"path": "model.json\n"}, "path"),
        ({"sha256": "0" * 63}, "sha256"),
        ({"sha256": "0" * 64 + "\n"}, "sha256"),
        ({"bytes": -1}, "bytes"),
    ],
)
def test_an_artifact_outside_the_folder_or_without_a_digest_is_refused(
    entry: dict[str, Any], at: str
) -> None:
    manifest = document()
    manifest["selections"]["EURUSD"]["artifacts"] = [{**ARTIFACT, **entry}]
    with pytest.raises(ValueError, match=rf"selections.EURUSD.artifacts.0.{at}: "):
        validate_manifest(manifest)


@pytest.mark.parametrize("path", ["model.json", "a/.hidden", "a/..b/c..d", "artifacts/XAU/M-1/w"])
def test_an_artifact_inside_the_folder_is_accepted(path: str) -> None:
    manifest = document()
    manifest["selections"]["EURUSD"]["artifacts"] = [{**ARTIFACT, "path": path}]
    validate_manifest(manifest)


def test_a_recorded_run_cannot_select_a_model_without_files(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(ValueError, match=r"selections.EURUSD: 'artifacts' is a required"):
        save(path, {"EURUSD": SELECTED}, provenance={"run_id": "r1"})
    assert not path.exists()
    save(path, {"EURUSD": SELECTED}, provenance={"seed": 1, "run_id": None})


def test_older_manifests_are_kept_and_named_by_their_successors(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    contents, digests = [], [None]
    for hour in range(3):
        now = NOON + timedelta(hours=hour)
        written = save(path, {"EURUSD": SELECTED}, clock=lambda now=now: now)
        assert written["previous_manifest_sha256"] == digests[-1]
        contents.append(path.read_bytes())
        digests.append(hashlib.sha256(contents[-1]).hexdigest())
    kept = {file.name: file.read_bytes() for file in (tmp_path / "history").iterdir()}
    assert kept == {
        f"20240102T120000Z-{digests[1][:12]}.json": contents[0],
        f"20240102T130000Z-{digests[2][:12]}.json": contents[1],
    }


def test_a_file_that_is_no_manifest_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{half")
    save(path, {})
    assert [file.read_text() for file in (tmp_path / "history").iterdir()] == ["{half"]


def test_what_history_holds_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    save(path, {"EURUSD": SELECTED}, clock=lambda: NOON)
    first = path.read_bytes()
    save(path, {}, clock=lambda: NOON)
    (kept,) = (tmp_path / "history").iterdir()
    before = kept.stat().st_ino
    path.write_bytes(first)
    save(path, {}, clock=lambda: NOON)
    assert kept.stat().st_ino == before
    assert kept.read_bytes() == first


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync"])
def test_a_broken_write_leaves_the_old_manifest_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "manifest.json"
    save(path, {"EURUSD": SELECTED})
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(broken, fail)
    with pytest.raises(OSError, match="disk is full"):
        save(path, {})
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_writers_at_the_same_time_lose_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    writers = [
        threading.Thread(target=save, args=(path, {f"SYMBOL{i}": NONE_LEFT})) for i in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    everything = [path, *(tmp_path / "history").iterdir()]
    symbols = {next(iter(json.loads(file.read_text())["selections"])) for file in everything}
    assert symbols == {f"SYMBOL{i}" for i in range(6)}


def test_a_field_that_cannot_be_written_is_named_and_left_out(tmp_path: Path) -> None:
    with pytest.warns(UnserialisableFieldWarning, match=r"selections.EURUSD.evidence.model"):
        written = save(tmp_path / "m.json", {"EURUSD": {**SELECTED, "evidence": {"model": {1j}}}})
    assert written["selections"]["EURUSD"]["evidence"] == {"model": []}
