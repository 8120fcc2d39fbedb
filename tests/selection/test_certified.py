"""Which model a symbol gets.

Axes: N rows.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.certified import as_judged, in_digits
from selection.evidence import advantage, detectable_edge, evidence, holm
from tests.selection.drawn_rows import informed, labels, persistent, rows_of, sigmoid
from tests.selection.gate import (
    BREAKING,
    FAILED,
    MUCH,
    SINGLES,
    SOME,
    drawn,
    p_over_council,
    result,
    selected,
    selector,
    tied,
)

IN_WORDS = {
    "max_gap": "train-validation gap",
    "min_accuracy": "test accuracy",
    "stability": "validation-test difference",
}


def test_the_council_is_deployed_where_no_single_model_is_better() -> None:
    models = drawn(3, Council=SOME, RandomForest=SOME, MLP=0.25, LSTM=0.0)
    choice = selected(models)
    assert choice["selected_model"] == "Council"
    assert choice["reason"].startswith("Signal: p = ")
    assert choice["reason"].endswith("thousandths of a nat out of fold; no single model is better")
    assert choice["refused"]["MLP"].startswith("not better than the council (p = 1.00)")
    assert choice["refused"]["LSTM"].startswith("no evidence of its own (p = ")


def test_a_single_model_that_is_better_takes_the_councils_place() -> None:
    models = drawn(4, Council=SOME, XGBoost=MUCH, LSTM=SOME)
    results = {"XGBoost": result(test=0.63, oof=0.62, train=0.70), "Council": result(oof=0.57)}
    choice = selected(models, results)
    gain = advantage(models["XGBoost"], models["Council"]).gain
    assert choice["selected_model"] == "XGBoost"
    assert choice["reason"].endswith(f"XGBoost beats it by {1000 * gain:.1f} thousandths of a nat")
    assert choice["refused"]["Council"] == "XGBoost is better"
    # What is printed is the accuracy and the gap of all out-of-fold rows.
    assert choice["expected_accuracy"] == 0.62
    assert choice["test_accuracy"] == 0.63
    assert choice["train_val_gap"] == pytest.approx(0.08)
    assert [one["model"] for one in choice["alternatives"]] == ["Council", "LSTM"]
    assert choice["alternatives"][0]["train_val_gap"] == pytest.approx(0.08)


def test_evidence_holds_the_councils_numbers_and_those_of_every_single_model() -> None:
    models = drawn(5, Council=SOME, MLP=SOME, XGBoost=0.4)
    said = selected(models)["evidence"]
    council, mlp = evidence(models["Council"]), evidence(models["MLP"])
    adjusted = holm({name: p_over_council(models, name) for name in ("MLP", "XGBoost")})
    assert (said["rule"], said["alpha"], said["family"]) == ("certified", 0.05, 1)
    assert said["p_value"] == said["p_adjusted"] == council.p_value
    assert (said["statistic"], said["log_loss_gain"]) == (council.statistic, council.gain)
    assert (said["rows"], said["effective_rows"]) == (400, council.effective_rows)
    assert said["singles"]["MLP"]["p_value"] == mlp.p_value
    assert said["singles"]["MLP"]["p_over_council"] == p_over_council(models, "MLP")
    assert {name: one["p_over_council_adjusted"] for name, one in said["singles"].items()} == (
        adjusted
    )


def test_a_single_model_without_signal_of_its_own_is_not_deployed_however_it_compares() -> None:
    # The council holds signal, but is so sure of a few errors that a coin has less log-loss.
    council = drawn(6, Council=MUCH)["Council"]
    wrong = slice(None, None, 20)
    p_N = council.p_N.copy()
    p_N[wrong] = np.where(council.y_N[wrong] == 1, 1e-6, 1 - 1e-6)
    models = {"Council": replace(council, p_N=p_N), "MLP": replace(council, p_N=np.full(400, 0.5))}
    assert p_over_council(models, "MLP") < 0.01
    choice = selected(models)
    assert choice["selected_model"] == "Council"
    assert choice["refused"]["MLP"] == "no evidence of its own (p = 1.00)"


def test_the_best_of_several_singles_must_beat_the_council_by_holm() -> None:
    models = drawn(0, Council=SOME, XGBoost=0.5)
    p_value = p_over_council(models, "XGBoost")
    assert p_value < 0.05 < 4 * p_value
    assert selected(models)["selected_model"] == "XGBoost"
    others = drawn(0, RandomForest=SOME, MLP=SOME, LSTM=0.2)
    choice = selected({**models, **others})
    assert choice["selected_model"] == "Council"
    refused = f"not better than the council (p = {in_digits(4 * p_value)})"
    assert choice["refused"]["XGBoost"] == refused


def test_symbols_are_a_family_of_their_councils() -> None:
    weak = drawn(0, Council=0.1)
    assert 0.05 / 11 < evidence(weak["Council"]).p_value < 0.05
    assert selected(weak)["selected_model"] == "Council"
    strong = drawn(1, Council=SOME)
    noise = {f"NOISE{k}": drawn(20 + k, Council=0.0, MLP=MUCH) for k in range(9)}
    predictions = {"WEAK": weak, "STRONG": strong, **noise}
    results = {symbol: {name: result() for name in one} for symbol, one in predictions.items()}
    found = selector().select(results, predictions)
    passed = [symbol for symbol, one in found.items() if one["selected_model"]]
    p_values = {symbol: evidence(one["Council"]).p_value for symbol, one in predictions.items()}
    assert passed == ["STRONG"]
    assert {symbol: one["evidence"]["p_adjusted"] for symbol, one in found.items()} == holm(
        p_values
    )
    assert f"{in_digits(11 * p_values['STRONG'])} among 11 symbols" in found["STRONG"]["reason"]
    assert found["WEAK"]["evidence"]["detectable_edge"] == detectable_edge(
        evidence(weak["Council"]), 0.05 / 11
    )


def test_a_run_of_noise_deploys_anything_no_more_often_than_said() -> None:
    rng, deployed = np.random.default_rng(30), 0
    gate = selector()
    for _ in range(100):
        predictions = {
            f"S{k}": {
                "Council": rows_of(
                    labels(rng, 150, 4), sigmoid(0.1 * persistent(rng, 150, 0.8)), depth=4
                )
            }
            for k in range(11)
        }
        found = gate.select({symbol: {"Council": result()} for symbol in predictions}, predictions)
        deployed += any(one["selected_model"] for one in found.values())
    assert deployed <= 10  # a rate of 5% exceeds this once in a hundred times


@pytest.mark.parametrize(
    ("names", "simplest"),
    [
        (("LSTM", "MLP", "RandomForest", "XGBoost"), "XGBoost"),
        (("LSTM", "RandomForest", "MLP"), "RandomForest"),
        (("LSTM", "MLP"), "MLP"),
        (("Another", "LSTM"), "LSTM"),
    ],
)
def test_of_models_as_good_as_each_other_the_simplest_is_deployed(
    names: tuple[str, ...], simplest: str
) -> None:
    choice = selected(tied(**dict.fromkeys(names, 0.01)))
    assert choice["selected_model"] == simplest
    for name in set(names) - {simplest}:
        assert choice["refused"][name] == f"{simplest} is better, or as good and simpler"


def test_a_clearly_better_model_is_deployed_however_complex() -> None:
    models = drawn(8, Council=SOME, XGBoost=0.7, LSTM=1.8)
    assert p_over_council(models, "XGBoost") < 0.02
    choice = selected(models)
    assert choice["selected_model"] == "LSTM"
    assert choice["refused"]["XGBoost"] == "LSTM is better, or as good and simpler"


@pytest.mark.parametrize("limit", BREAKING)
def test_a_hard_limit_refuses_the_council_and_a_flag_does_not(limit: str) -> None:
    models, broken = drawn(9, Council=SOME, MLP=SOME), BREAKING[limit]
    others = [name for name in BREAKING if name != limit]
    assert selected(models, {"Council": broken})["selected_model"] == "Council"
    assert selected(models, {"Council": broken}, hard=others)["selected_model"] == "Council"
    refusal = selected(models, {"Council": broken}, hard=[limit])
    assert refusal["selected_model"] is None
    assert f"but the council breaks a hard limit: {IN_WORDS[limit]}" in refusal["reason"]
    assert refusal["reason"].startswith("Signal is there (p = ")
    assert refusal["evidence"]["passes"] is True
    assert refusal["refused"]["Council"].startswith(f"hard limit: {IN_WORDS[limit]} ")
    assert refusal["refused"]["MLP"].startswith("not better than the council")


@pytest.mark.parametrize("limit", BREAKING)
def test_a_hard_limit_sends_the_choice_elsewhere(limit: str) -> None:
    models, broken = drawn(4, Council=SOME, XGBoost=MUCH, LSTM=SOME), BREAKING[limit]
    to_council = selected(models, {"XGBoost": broken}, hard=[limit])
    assert to_council["selected_model"] == "Council"
    assert to_council["reason"].endswith("no single model within the hard limits is better")
    assert to_council["refused"]["XGBoost"].startswith(f"hard limit: {IN_WORDS[limit]} ")
    to_single = selected(models, {"Council": broken}, hard=[limit])
    assert to_single["selected_model"] == "XGBoost"
    assert to_single["refused"]["Council"].startswith(f"hard limit: {IN_WORDS[limit]} ")
    second = selected({**tied(XGBoost=0.01, MLP=0.01)}, {"XGBoost": broken}, hard=[limit])
    assert second["selected_model"] == "MLP"


def test_the_hard_gap_is_that_of_all_out_of_fold_rows_not_of_the_last_block() -> None:
    models = drawn(9, Council=SOME)
    memorised, lucky = result(train=0.80, oof=0.59, last_gap=0.05), result(last_gap=0.4)
    assert selected(models, {"Council": memorised}, hard=["max_gap"])["selected_model"] is None
    assert selected(models, {"Council": lucky}, hard=["max_gap"])["selected_model"] == "Council"
    assert as_judged(memorised)["history"]["train_val_gap"] == pytest.approx(0.21)
    assert memorised["history"]["train_val_gap"] == 0.05


def test_all_broken_hard_limits_are_named() -> None:
    bad = result(train=0.90, val=0.60, test=0.50, oof=0.5)
    refusal = selected(
        drawn(9, Council=SOME), {"Council": bad}, hard=["stability", "max_gap", "min_accuracy"]
    )
    said = refusal["reason"].partition("a hard limit: ")[2].split(", ")
    named = [IN_WORDS[limit] for limit in ("stability", "max_gap", "min_accuracy")]
    assert all(one.startswith(name) for one, name in zip(said, named, strict=True))


def test_a_failed_council_refuses_with_its_error() -> None:
    models = drawn(10, MLP=MUCH)
    refusal = selected(models, {"Council": FAILED})
    assert refusal["selected_model"] is None
    assert refusal["reason"] == "No council to judge by: fold 2: timeout"
    assert refusal["evidence"] is None
    assert refusal["refused"] == {
        "MLP": refusal["reason"],
        "Council": "training failed: fold 2: timeout",
    }


@pytest.mark.parametrize("models", [{}, {"MLP": MUCH}])
def test_without_a_council_nothing_is_deployed(models: dict[str, float]) -> None:
    refusal = selected(drawn(10, 400, **models))
    assert refusal["reason"] == "No council to judge by: it was not trained"
    assert refusal["refused"] == dict.fromkeys(models, refusal["reason"])


def test_a_symbol_without_a_council_is_no_member_of_the_family() -> None:
    predictions = {"EURUSD": drawn(3, Council=SOME), "GBPUSD": drawn(3, MLP=SOME)}
    results = {
        "EURUSD": {"Council": result()},
        "GBPUSD": {"Council": FAILED, "MLP": result()},
        "USDJPY": {"Council": FAILED, "MLP": FAILED},
    }
    found = selector().select(results, predictions)
    assert list(found) == list(results)
    assert found["EURUSD"]["evidence"]["family"] == 1
    assert "among" not in found["EURUSD"]["reason"]
    assert found["USDJPY"]["refused"]["MLP"] == "training failed: fold 2: timeout"


@pytest.mark.parametrize("council", [SOME, 0.0])
def test_models_that_failed_are_listed_whatever_comes_of_the_others(council: float) -> None:
    choice = selected(drawn(11, Council=council, XGBoost=SOME), {"LSTM": FAILED})
    assert choice["selected_model"] == ("Council" if council else None)
    assert choice["refused"]["LSTM"] == "training failed: fold 2: timeout"
    assert "LSTM" not in choice["evidence"]["singles"]
    assert "LSTM" not in [one["model"] for one in choice["alternatives"]]


def test_finalists_are_the_nets_that_were_chosen_and_none_where_one_seed_is_enough() -> None:
    chosen = ["MLP", "LSTM", "XGBoost", "Council", None]
    selections = {f"S{k}": {"selected_model": model} for k, model in enumerate(chosen)}
    assert selector().finalists(selections, {}) == [("S0", "MLP"), ("S1", "LSTM")]
    assert selector().finalists(selections, {("S0", "MLP"): []}) == [("S1", "LSTM")]
    assert selector(seeds=1).finalists(selections, {}) == []


def test_a_net_whose_further_seeds_all_failed_is_turned_down() -> None:
    models = drawn(12, Council=SOME, MLP=MUCH)
    assert selected(models)["selected_model"] == "MLP"
    assert selected(models, reseeded={"MLP": []})["selected_model"] == "Council"


def test_the_gain_of_a_net_is_that_of_its_median_seed() -> None:
    models = drawn(12, Council=SOME, MLP=MUCH)
    rng = np.random.default_rng([12, 2])
    others = [
        replace(models["MLP"], p_N=informed(rng, models["MLP"].y_N, shift)) for shift in (0.7, 1.2)
    ]
    gains = [advantage(one, models["Council"]).gain for one in (models["MLP"], *others)]
    single = selected(models, reseeded={"MLP": others})["evidence"]["singles"]["MLP"]
    assert single["gain_over_council"] == sorted(gains)[1]
    assert single["gain_over_council_by_seed"] == gains


def test_the_median_over_seeds_turns_a_lucky_net_down_and_keeps_a_steady_one() -> None:
    models = drawn(12, Council=SOME, MLP=MUCH)
    rng = np.random.default_rng([12, 1])
    bad, good = (
        [replace(models["MLP"], p_N=informed(rng, models["MLP"].y_N, shift)) for _ in range(2)]
        for shift in (SOME, MUCH)
    )
    assert selected(models)["selected_model"] == "MLP"
    lucky = selected(models, reseeded={"MLP": bad})
    assert lucky["selected_model"] == "Council"
    assert lucky["refused"]["MLP"].startswith("not better than the council (p = ")
    by_seed = lucky["evidence"]["singles"]["MLP"]["p_over_council_by_seed"]
    assert by_seed == [advantage(one, models["Council"]).p_value for one in (models["MLP"], *bad)]
    assert selected(models, reseeded={"MLP": [bad[0], good[0]]})["selected_model"] == "MLP"
    assert selected(models, reseeded={"MLP": good})["selected_model"] == "MLP"


@given(st.permutations(["Council", *SINGLES]))
def test_the_order_of_the_models_does_not_matter(names: list[str]) -> None:
    models = drawn(13, n_rows=120, **dict.fromkeys(SINGLES, 1.2), Council=0.5)
    plain, shuffled = selected(models), selected({name: models[name] for name in names})
    for key in ("selected_model", "reason", "refused", "evidence"):
        assert shuffled[key] == plain[key]


def test_one_block_alone_can_be_judged() -> None:
    council = replace(drawn(3, Council=SOME)["Council"], block_N=np.zeros(400, dtype=np.int64))
    assert selected({"Council": council})["selected_model"] == "Council"


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("alpha", 0.0, r"alpha must be in \(0, 0.5\), was 0.0"),
        ("alpha", 0.5, r"alpha must be in \(0, 0.5\), was 0.5"),
        ("alpha", math.nan, r"alpha must be in \(0, 0.5\), was nan"),
        ("seeds", 0, "seeds must be at least 1, was 0"),
        ("hard", ["max_gap", "gap"], "hard may list max_gap, .* listed 'gap'"),
        ("max_gap", 1.2, r"max_gap must be in \[0, 1\], was 1.2"),
        ("min_accuracy", -0.1, r"min_accuracy must be in \[0, 1\], was -0.1"),
        ("stability_threshold", 2, r"stability_threshold must be in \[0, 1\], was 2"),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selector(**{setting: value})
