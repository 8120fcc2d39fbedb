import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from selection import ModelSelector

SELECTOR = ModelSelector()


def result(train: float, val: float, test: float, **more: Any) -> dict[str, Any]:
    accuracies = {"train_accuracy": train, "val_accuracy": val, "test_accuracy": test}
    return {"history": {**accuracies, "train_val_gap": train - val, **more}}


def selected(**models: object) -> dict[str, Any]:
    return SELECTOR.select_best_models({"EURUSD": models})["EURUSD"]  # type: ignore[dict-item]


def test_the_best_score_is_chosen_and_the_others_are_listed_best_first() -> None:
    models = {
        "LSTM": result(0.70, 0.60, 0.60),
        "MLP": result(0.83, 0.70, 0.72),
        "RandomForest": result(0.75, 0.65, 0.66),
        "XGBoost": result(0.99, 0.70, 0.72),
    }
    choice = selected(**models)
    assert choice["selected_model"] == "MLP"
    assert choice["test_accuracy"] == 0.72
    assert choice["train_val_gap"] == pytest.approx(0.13)
    assert choice["reason"] == "Best score (0.655) with gap 13.0%"
    assert [other["model"] for other in choice["alternatives"]] == ["RandomForest", "LSTM"]
    assert choice["alternatives"][0]["score"] == pytest.approx(0.61)


def test_no_model_left_asks_for_a_manual_review() -> None:
    assert selected(MLP=result(0.9, 0.6, 0.6)) == {
        "selected_model": None,
        "test_accuracy": None,
        "train_val_gap": None,
        "reason": "No models met quality criteria",
        "action": "MANUAL_REVIEW_REQUIRED",
        "alternatives": [],
    }


@pytest.mark.parametrize(
    ("numbers", "broken"),
    [
        ((0.80, 0.60, 0.60), []),
        ((0.81, 0.60, 0.60), ["max_gap"]),
        ((0.65, 0.55, 0.55), []),
        ((0.65, 0.55, math.nextafter(0.55, 0)), []),
        ((0.65, 0.55, 0.549), ["min_accuracy"]),
        ((0.65, 0.65, 0.60), []),
        ((0.65, 0.60, 0.65), []),
        ((0.70, 0.651, 0.60), ["stability"]),
        ((0.70, 0.60, 0.651), ["stability"]),
        ((0.95, 0.60, 0.50), ["max_gap", "min_accuracy", "stability"]),
    ],
)
def test_limits_are_inclusive_and_each_broken_one_is_flagged(
    numbers: tuple[float, float, float], broken: list[str]
) -> None:
    verdict = SELECTOR.reference_verdict(result(*numbers))
    flags = ("max_gap", "min_accuracy", "stability", "cv_stability")
    assert verdict == {**{flag: flag not in broken for flag in flags}, "passed": not broken}
    assert len(SELECTOR.failures(result(*numbers))) == len(broken)


def test_every_broken_limit_has_a_sentence() -> None:
    assert SELECTOR.failures(result(0.943, 0.681, 0.5312, cv_std_accuracy=0.2)) == [
        "train-validation gap 0.262 > 0.2",
        "validation-test difference 0.150 > 0.05",
        "cross-validation deviation 0.200 > 0.15",
        "test accuracy 0.531 < 0.55",
    ]
    assert SELECTOR.failures(result(0.6, 0.55, 0.54996)) == ["test accuracy 0.549960 < 0.55"]
    assert SELECTOR.failures({"error": "loss was\nNaN"}) == ["training failed: loss was NaN"]


@pytest.mark.parametrize(
    "broken",
    [
        {"error": "one class only"},
        {**result(0.6, 0.6, 0.6), "error": ""},
        {},
        None,
        "error",
        {"history": None},
        result(math.nan, 0.6, 0.6),
        result(0.6, math.nan, 0.6),
        result(0.6, 0.6, math.nan),
        result(0.6, 0.6, math.inf),
        result(65.0, 65.0, 65.0),
        result(0.6, 0.6, 0.6, test_accuracy=None),
        result(0.6, 0.6, 0.6, train_val_gap="0.0"),
        result(1.0, True, True),
        result(0.6, 0.6, 0.6, cv_std_accuracy=math.nan),
    ],
)
def test_a_failed_or_incomplete_result_is_never_chosen(broken: object) -> None:
    assert selected(MLP=broken)["selected_model"] is None
    assert SELECTOR.reference_verdict(broken)["passed"] is False  # type: ignore[arg-type]
    assert SELECTOR.failures(broken)  # type: ignore[arg-type]


@pytest.mark.parametrize("models", [None, {}, {"error": "row 7: price is negative"}])
def test_a_symbol_without_models_is_for_manual_review(models: Any) -> None:
    assert SELECTOR.select_best_models({"X": models})["X"]["action"] == "MANUAL_REVIEW_REQUIRED"


def test_numbers_missing_from_the_history_are_taken_from_the_metrics() -> None:
    found = selected(
        MLP={
            "history": {"train_accuracy": 0.7},
            "val_metrics": {"accuracy": np.float32(0.625)},
            "test_metrics": {"accuracy": 0.65},
        }
    )
    assert found["selected_model"] == "MLP"
    assert found["test_accuracy"] == 0.65
    assert found["train_val_gap"] == pytest.approx(0.075)


def test_folds_that_disagree_reject_a_model_and_missing_folds_do_not() -> None:
    assert selected(MLP=result(0.6, 0.6, 0.6, cv_std_accuracy=0.15))["selected_model"] == "MLP"
    assert selected(MLP=result(0.6, 0.6, 0.6, cv_std_accuracy=None))["selected_model"] == "MLP"
    assert selected(MLP=result(0.6, 0.6, 0.6, cv_std_accuracy=0.151))["selected_model"] is None


def test_equal_scores_are_decided_by_name_even_when_they_differ_in_the_last_bit() -> None:
    one, other = result(0.70, 0.60, 0.65), result(0.64, 0.60, 0.62)  # 0.65 - 0.05, 0.62 - 0.02
    assert selected(B=one, A=other)["selected_model"] == "A"
    assert selected(A=one, B=other)["selected_model"] == "A"


# A grid of hundredths puts many cases exactly on a limit.
ACCURACY = st.integers(45, 90).map(lambda percent: percent / 100)
MODELS = st.dictionaries(
    st.sampled_from("ABCDEF"), st.builds(result, ACCURACY, ACCURACY, ACCURACY), max_size=6
)


@given(MODELS)
def test_the_choice_keeps_every_limit_and_no_eligible_model_scores_better(
    models: dict[str, Any],
) -> None:
    choice = selected(**models)
    eligible = {}
    for name, model in models.items():
        train, val, test = (round(100 * x) for x in list(model["history"].values())[:3])
        if train - val <= 20 and test >= 55 and abs(val - test) <= 5:
            eligible[name] = 2 * test - (train - val)
    best = min(eligible, key=lambda name: (-eligible[name], name), default=None)
    assert choice["selected_model"] == best
    assert {other["model"] for other in choice["alternatives"]} == set(eligible) - {best}


@given(st.dictionaries(st.sampled_from(["EURUSD", "GBPUSD", "XAUUSD"]), MODELS))
def test_the_order_of_symbols_and_models_does_not_matter(results: dict[str, Any]) -> None:
    turned = {s: dict(reversed(models.items())) for s, models in reversed(results.items())}
    forth, back = SELECTOR.select_best_models(results), SELECTOR.select_best_models(turned)
    assert list(forth.items()) == list(back.items())


@pytest.mark.parametrize("limit", ["max_gap", "min_accuracy", "stability_threshold"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_a_limit_outside_its_range_is_refused(limit: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{limit} must be in \[0, 1\], was"):
        ModelSelector(**{limit: value})


def test_the_shipped_configuration_holds_the_defaults_of_the_class() -> None:
    path = Path(__file__).parents[2] / "conf" / "selection" / "reference.yaml"
    conf = yaml.safe_load(path.read_text())
    parameters = inspect.signature(ModelSelector).parameters.values()
    assert conf == {"kind": "reference", **{p.name: p.default for p in parameters}}
