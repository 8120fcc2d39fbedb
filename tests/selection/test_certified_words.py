"""What is said of a selection, in words and in the manifest.

Axes: N rows.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selection.certified import in_digits
from selection.evidence import detectable_edge, evidence
from selection.json_safe import to_json_safe
from selection.manifest import validate_manifest
from tests.selection.drawn_rows import HOUR, labels, rows_of, sigmoid
from tests.selection.gate import (
    BREAKING,
    FAILED,
    MUCH,
    SOME,
    drawn,
    selected,
    selector,
    tied,
)


def test_noise_is_refused_and_told_what_would_have_been_seen() -> None:
    rng = np.random.default_rng(1)
    council = rows_of(labels(rng, 400), sigmoid(0.02 * rng.standard_normal(400)))
    found = evidence(council)
    assert 0.1 < found.p_value < 1
    refusal = selected({"Council": council})
    edge = detectable_edge(found, 0.05)
    assert refusal["selected_model"] is None
    assert refusal["action"] == "MANUAL_REVIEW_REQUIRED"
    assert refusal["reason"] == (
        f"Refused: p = {found.p_value:.2f}; with this many labels an edge of {100 * edge:.0f} "
        "points would have been seen four times in five"
    )
    assert refusal["evidence"]["detectable_edge"] == edge
    assert refusal["evidence"]["passes"] is False


def test_without_any_gain_no_effect_is_seen_and_no_p_value_is_printed() -> None:
    models = drawn(2, Council=SOME, MLP=MUCH)
    models["Council"] = replace(models["Council"], p_N=1 - models["Council"].p_N)
    refusal = selected(models)
    assert refusal["evidence"]["p_value"] == 1.0
    assert refusal["reason"].startswith(
        "Refused: no effect seen (no better than the base rate); with this many labels an edge of"
    )
    assert "p =" not in refusal["reason"]
    assert refusal["refused"] == dict.fromkeys(models, "the council found no signal")


SCENARIOS: dict[str, dict[str, Any]] = {
    "noise": {"models": drawn(1, Council=0.0, XGBoost=MUCH)},
    "council": {"models": drawn(3, Council=SOME, RandomForest=SOME, LSTM=0.0)},
    "single": {"models": drawn(4, Council=SOME, XGBoost=MUCH, MLP=MUCH, LSTM=SOME)},
    "tied": {"models": tied(XGBoost=0.01, RandomForest=0.01, MLP=0.01)},
    "hard": {
        "models": drawn(4, Council=SOME, XGBoost=MUCH, LSTM=MUCH),
        "results": dict.fromkeys(("Council", "XGBoost", "LSTM"), BREAKING["stability"]),
        "hard": ["stability"],
    },
    "no council": {"models": drawn(3, MLP=SOME), "results": {"Council": FAILED}},
    "failures": {
        "models": drawn(3, Council=SOME),
        "results": {"MLP": FAILED, "RandomForest": FAILED},
    },
    "nothing": {"models": {}, "results": {"Council": FAILED, "MLP": FAILED}},
    "one class": {"models": {"Council": rows_of(np.ones(40), np.linspace(0.6, 0.9, 40))}},
    "two rows": {"models": {"Council": rows_of([0, 1], [0.4, 0.6])}},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_model_that_was_not_chosen_has_a_sentence(scenario: str) -> None:
    given = SCENARIOS[scenario]
    choice = selected(**given)
    names = {*given["models"], *given.get("results", {})}
    assert set(choice["refused"]) == names - {choice["selected_model"]}
    assert all(
        sentence.strip() and "None" not in sentence for sentence in choice["refused"].values()
    )


@pytest.mark.filterwarnings("error")
def test_what_is_selected_is_json_and_valid_in_a_manifest(tmp_path: Path) -> None:
    selections = {name.upper(): selected(**given) for name, given in SCENARIOS.items()}
    assert to_json_safe(selections) == selections
    assert json.loads(json.dumps(selections, allow_nan=False)) == selections
    path = tmp_path / "manifest.json"
    selector().reference.save_deployment_manifest(selections, path)
    manifest = json.loads(path.read_text("utf-8"))
    validate_manifest(manifest)
    assert manifest["selections"] == selections
    assert manifest["summary"]["models_selected"] == 4
    assert manifest["summary"]["manual_review_needed"] == 6


@pytest.mark.parametrize("scenario", ["noise", "council", "single", "tied"])
def test_moving_all_times_changes_nothing(scenario: str) -> None:
    models = SCENARIOS[scenario]["models"]
    moved = {
        name: replace(rows, t0_N=rows.t0_N + 777 * HOUR, t1_N=rows.t1_N + 777 * HOUR)
        for name, rows in models.items()
    }
    assert selected(moved) == selected(models)


@pytest.mark.parametrize(
    ("y_N", "p_N", "depth", "words"),
    [
        ([1, 0, 1], [0.7, 0.4, 0.6], 1, "too few labels that do not overlap to see any edge"),
        ([1, 0] * 15, [0.7, 0.3] * 15, 30, "too few labels that do not overlap to see any edge"),
        ([1] * 60, [0.7, 0.8] * 30, 1, "within blocks, labels or predictions are all alike"),
        ([1, 1, 0] * 20, [0.6] * 60, 1, "within blocks, labels or predictions are all alike"),
    ],
)
def test_rows_that_can_show_nothing_are_refused_in_words(
    y_N: list[int], p_N: list[float], depth: int, words: str
) -> None:
    rows = rows_of(y_N, p_N, depth=depth, n_blocks=1)
    assert evidence(rows).gain > 0
    refusal = selected({"Council": rows, "MLP": rows})
    assert refusal["selected_model"] is None
    assert refusal["reason"].endswith(words)
    assert refusal["evidence"]["detectable_edge"] is None


@pytest.mark.parametrize(
    ("p", "words"), [(0.2149, "0.21"), (0.0421, "0.042"), (0.00123, "0.0012"), (2.2e-7, "2e-07")]
)
def test_p_values_are_read_as_they_are_said(p: float, words: str) -> None:
    assert in_digits(p) == words
