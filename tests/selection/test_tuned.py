"""What selection makes of models that a sweep has tuned.

Axes: N rows.
"""

from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import ModelSelector
from selection.certified import COUNCIL
from selection.evidence import Advantage, advantage, evidence, holm
from selection.out_of_fold import OutOfFold
from selection.selector import nothing_selected
from selection.tuned import chance_share, judged_on
from tests.selection.drawn_rows import informed, labels, most_below, rows_of
from tests.selection.gate import MUCH, SOME, drawn, p_over_council, result, selected

P_VALUES = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1)


def tuned(*, adopted: bool = True, look: int | None = 1, **changes: float) -> dict[str, Any]:
    record = {
        "adopted": adopted,
        "look": look,
        "n_trials": 50,
        "judged_rows": 134,
        "tuned_until": "2024-01-02T03:00:00+00:00",
    }
    return {**result(**changes), "tuning": record}


def later(rows: OutOfFold, n_rows: int) -> OutOfFold:
    return rows.at(rows.t0_N[-n_rows:] if n_rows else rows.t0_N[:0])


def test_a_model_that_was_not_swept_has_its_whole_chance_and_is_judged_on_all_rows() -> None:
    assert chance_share(result()) == chance_share({**result(), "tuning": None}) == 1
    assert judged_on(result()) == judged_on(tuned(adopted=False)) == ""


def test_all_chances_of_a_swept_model_together_are_one() -> None:
    configured = chance_share(tuned(adopted=False, look=None))
    assert configured == chance_share(tuned(adopted=False, look=3)) == 1 / 3
    looks = [chance_share(tuned(look=k)) for k in islice(count(1), 40)]
    assert looks[:3] == [1 / 3, 1 / 6, 1 / 12]
    assert configured + sum(looks) == pytest.approx(1)


@given(P_VALUES)
def test_whole_shares_change_nothing(p_values: dict[str, float]) -> None:
    assert holm(p_values, dict.fromkeys(p_values, 1.0)) == holm(p_values)


@given(P_VALUES, st.sampled_from([1, 2, 3, 4]))
def test_a_share_is_a_place_among_others_that_were_not_tested(
    p_values: dict[str, float], n_parts: int
) -> None:
    untested = {f"{name}{k}": 1.0 for name in p_values for k in range(1, n_parts)}
    spelled_out = holm({**p_values, **untested})
    shared = holm(p_values, dict.fromkeys(p_values, 1 / n_parts))
    assert shared == pytest.approx({name: spelled_out[name] for name in p_values})


def test_a_smaller_share_takes_a_smaller_p_value_and_leaves_the_others_theirs() -> None:
    assert holm({"a": 0.01, "b": 0.02}, {"a": 0.5}) == {"a": 0.04, "b": 0.04}
    assert holm({"a": 0.03, "b": 0.01}, {"a": 0.5}) == {"a": 0.06, "b": 0.02}


def test_a_swept_model_must_beat_the_council_more_surely() -> None:
    models = drawn(0, Council=SOME, XGBoost=0.5)
    p_value = p_over_council(models, "XGBoost")
    assert p_value < 0.05 < 3 * p_value
    assert selected(models)["selected_model"] == "XGBoost"
    for swept in (tuned(), tuned(adopted=False)):
        choice = selected(models, {"XGBoost": swept})
        assert choice["selected_model"] == "Council"
        single = choice["evidence"]["singles"]["XGBoost"]
        assert single["p_over_council_adjusted"] == pytest.approx(3 * p_value)
        assert single["share_of_chance"] == pytest.approx(1 / 3)


def test_a_tuned_model_is_compared_on_its_later_rows_and_the_reason_says_so() -> None:
    models = drawn(4, Council=SOME, XGBoost=1.0)
    models["XGBoost"] = later(models["XGBoost"], 134)
    choice = selected(models, {"XGBoost": tuned(oof=0.7)})
    assert choice["selected_model"] == "XGBoost"
    assert choice["reason"].endswith(
        ", tuned (50 trials) and judged on the 134 rows from 2024-01-02 on alone"
    )
    assert choice["expected_accuracy"] == 0.7
    said = choice["evidence"]
    assert (said["rows"], said["singles"]["XGBoost"]["rows"]) == (400, 134)
    council = models["Council"].at(models["XGBoost"].t0_N)
    assert said["singles"]["XGBoost"]["gain_over_council"] == pytest.approx(
        advantage(models["XGBoost"], council).gain
    )


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3])
def test_too_few_later_rows_are_no_evidence_and_no_advantage(n_rows: int) -> None:
    models = drawn(4, Council=SOME, XGBoost=MUCH)
    few = later(models["XGBoost"], n_rows)
    sure = replace(few, p_N=np.where(few.y_N == 1, 0.99, 0.01))
    if n_rows < 3:
        assert evidence(sure).p_value == advantage(sure, models[COUNCIL]).p_value == 1
    choice = selected({**models, "XGBoost": sure}, {"XGBoost": tuned()})
    assert choice["selected_model"] == "Council"
    assert choice["refused"]["XGBoost"].startswith(("no evidence of its own", "not better than"))


def test_models_without_a_row_in_common_cannot_be_compared() -> None:
    rows = drawn(1, Council=SOME)[COUNCIL]
    early, late = rows.at(rows.t0_N[:100]), rows.at(rows.t0_N[100:])
    assert advantage(early, late) == Advantage(0.0, 0.0, 1.0)


@given(
    shift=st.floats(0, 3),
    n_rows=st.integers(0, 400),
    adopted=st.booleans(),
    look=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_nothing_tuned_is_deployed_where_the_council_finds_no_signal(
    shift: float, n_rows: int, adopted: bool, look: int, seed: int
) -> None:
    y_N = labels(np.random.default_rng(1), 400)
    coin = rows_of(y_N, np.random.default_rng(1).uniform(0.45, 0.55, 400))
    assert evidence(coin).p_value > 0.05
    sure = rows_of(y_N, informed(np.random.default_rng(seed), y_N, shift))
    models = {COUNCIL: coin, "XGBoost": later(sure, n_rows), "LSTM": later(sure, n_rows)}
    swept = tuned(adopted=adopted, look=look, oof=0.9)
    choice = selected(models, {"XGBoost": swept, "LSTM": swept})
    assert choice["selected_model"] is None
    assert choice["action"] == "MANUAL_REVIEW_REQUIRED"


def test_many_chances_replace_the_council_wrongly_no_more_often_than_one() -> None:
    # The worst that a sweep can do: none of its candidates is better than the council, and of the
    # configured one and four tuned ones it puts forward whichever looks best on the judged rows.
    rng, n_runs, wrong, unshared = np.random.default_rng(11), 2_000, 0, 0
    candidates = [tuned(adopted=False), *(tuned(look=look) for look in (1, 2, 3, 4))]
    shares = [chance_share(one) for one in candidates]
    for p_values in rng.random((n_runs, len(candidates))):
        best = int(np.argmin(p_values / shares))
        wrong += holm({"a": p_values[best]}, {"a": shares[best]})["a"] < 0.05
        unshared += holm({"a": p_values.min()})["a"] < 0.05
    assert wrong / n_runs < most_below(0.05, n_runs)
    assert unshared / n_runs > 0.2


ENTRY = {
    "study": "EURUSD XGBoost 1f2e",
    "trials": {"complete": 38, "pruned": 10, "failed": 2},
    "adopted": False,
    "p_value": None,
    "gain": None,
    "alpha": None,
    "look": None,
    "tuned_until": "2024-01-02T03:00:00+00:00",
    "in_words": "50 trials, not adopted",
}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"p_value": 1.5}, "tuning.XGBoost.p_value: "),
        ({"adopted": "no"}, "tuning.XGBoost.adopted: "),
        ({"look": 0}, "tuning.XGBoost.look: "),
        ({"tuned_until": "2024-01-02"}, "tuning.XGBoost.tuned_until: "),
        ({"trials": {"complete": 1}}, "tuning.XGBoost.trials: "),
        ({"trials": None}, "tuning.XGBoost.trials: "),
    ],
)
def test_a_manifest_says_of_a_sweep_what_its_schema_asks_for(
    changes: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    refused = {**nothing_selected("Refused"), "note": "The sweep did not help."}
    for entry in (ENTRY, {**ENTRY, "p_value": 0.4, "alpha": 0.05, "look": 2, "gain": -0.1}):
        selections = {"EURUSD": {**refused, "tuning": {"XGBoost": entry}}}
        ModelSelector().save_deployment_manifest(selections, tmp_path / "manifest.json")
    broken = {"EURUSD": {**refused, "tuning": {"XGBoost": {**ENTRY, **changes}}}}
    with pytest.raises(ValueError, match=f"selections.EURUSD.{finding}"):
        ModelSelector().save_deployment_manifest(broken, tmp_path / "manifest.json")
