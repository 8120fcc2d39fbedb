"""Which symbols of a manifest are worth another search."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import ModelSelector
from selection.poor_performers import NO_DATA, poor_performers, without_data
from selection.selector import nothing_selected


def chosen(test: float, *others: float | None) -> dict[str, Any]:
    return {
        "selected_model": "MLP",
        "test_accuracy": test,
        "train_val_gap": 0.1,
        "reason": "Best score",
        "alternatives": [
            {"model": f"M{k}", "test_accuracy": one, "train_val_gap": None}
            for k, one in enumerate(others)
        ],
    }


SELECTIONS = {
    "GOOD": chosen(0.61, 0.5),
    "POOR": chosen(0.59, 0.55, None),
    "NONE": nothing_selected("Refused: p = 0.3"),
    "LOST": nothing_selected(f"{NO_DATA}: LOST.csv: has 3 rows"),
    "OTHER": chosen(0.4, 0.60),
}


def manifest(folder: Path, selections: dict[str, Any]) -> dict[str, Any]:
    path = folder / "manifest.json"
    ModelSelector().save_deployment_manifest(selections, path)
    return dict(json.loads(path.read_text()))


def test_they_are_those_without_a_model_or_without_a_good_one(tmp_path: Path) -> None:
    read = manifest(tmp_path, SELECTIONS)
    assert poor_performers(read, 0.60) == ["POOR", "NONE"]
    assert poor_performers(read, 0.0) == ["NONE"]
    assert poor_performers(read, 1.0) == ["GOOD", "POOR", "NONE", "OTHER"]


def test_what_has_no_data_is_told_apart(tmp_path: Path) -> None:
    read = manifest(tmp_path, SELECTIONS)
    assert without_data(read) == {"LOST": f"{NO_DATA}: LOST.csv: has 3 rows"}


@given(
    test=st.floats(0, 1),
    others=st.lists(st.none() | st.floats(0, 1), max_size=4),
    limit=st.floats(0, 1),
)
def test_a_chosen_symbol_is_poor_where_every_known_accuracy_is_below_the_limit(
    tmp_path_factory: pytest.TempPathFactory, test: float, others: list[Any], limit: float
) -> None:
    read = manifest(tmp_path_factory.getbasetemp(), {"EURUSD": chosen(test, *others)})
    known = [test, *(one for one in others if one is not None)]
    assert bool(poor_performers(read, limit)) == all(one < limit for one in known)


@pytest.mark.parametrize("document", [{}, [], None, {"selections": {"EURUSD": 3}}])
def test_what_is_no_manifest_is_refused_in_one_line(document: Any) -> None:
    for question in (lambda: poor_performers(document, 0.6), lambda: without_data(document)):
        with pytest.raises(ValueError, match=r"^deployment manifest, ") as refused:
            question()
        assert str(refused.value).isprintable()


def test_a_limit_is_a_share(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"max_test_accuracy must be in \[0, 1\], was 60"):
        poor_performers(manifest(tmp_path, SELECTIONS), 60)
