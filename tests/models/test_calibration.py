"""A calibration maps log-odds to probabilities, and back from its file it is the same map."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.samples import Samples
from models.base import Model, ModelError
from models.calibration import Calibration
from models.store import load_model

BENT = Calibration.isotonic([-2.0, 0.0, 1.0], [0.1, 0.3, 0.9])

finite = st.floats(-1e6, 1e6)
probability = st.floats(1e-9, 1 - 1e-9)
knots = st.lists(
    st.tuples(st.floats(-50, 50), probability), min_size=1, max_size=20, unique_by=lambda k: k[0]
)


@st.composite
def isotonics(draw: st.DrawFn) -> Calibration:
    log_odds_K, p_K = zip(*draw(knots), strict=True)
    return Calibration.isotonic(sorted(log_odds_K), sorted(p_K))


calibrations = st.one_of(
    st.just(Calibration.none()),
    st.builds(Calibration.platt, st.floats(0, 1e6), finite),
    isotonics(),
)


@given(calibrations, st.lists(finite, min_size=2, max_size=30))
def test_a_higher_score_never_gets_a_lower_probability(
    calibration: Calibration, scores: list[float]
) -> None:
    p_N = calibration(np.sort(scores))
    assert ((p_N >= 0) & (p_N <= 1)).all()
    assert (np.diff(p_N) >= -1e-15).all()


@given(calibrations)
def test_what_was_written_as_json_is_read_as_the_same_map(calibration: Calibration) -> None:
    text = json.dumps(calibration.to_json(), allow_nan=False)
    assert Calibration.from_json(json.loads(text)) == calibration


def test_log_odds_without_a_calibration_are_taken_at_their_word() -> None:
    log_odds_N = np.random.default_rng(0).normal(size=500) * 5
    expected_N = 1.0 / (1.0 + np.exp(-log_odds_N))
    assert np.array_equal(Calibration.none()(log_odds_N), expected_N)


def test_platt_is_a_sigmoid_of_the_scaled_and_shifted_log_odds() -> None:
    p_N = Calibration.platt(0.5, -1.0)(np.array([2.0, 4.0, 0.0]))
    assert p_N == pytest.approx([0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_isotonic_draws_straight_lines_between_knots_and_is_level_outside() -> None:
    p_N = BENT(np.array([-9.0, -2.0, -1.0, 0.0, 0.5, 1.0, 9.0]))
    assert p_N == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.6, 0.9, 0.9])


def test_log_odds_beyond_what_an_exponential_holds_are_certainties() -> None:
    for calibration in (Calibration.none(), Calibration.platt(1e300, 5.0)):
        assert calibration(np.array([-1e300, 1e300])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("numbers", "finding"),
    [
        ({"kind": "beta"}, "kind must be one of none, platt, isotonic, was beta"),
        ({"kind": "platt", "slope": -0.1}, "slope must be at least 0, was -0.1"),
        ({"kind": "platt", "slope": math.nan}, "slope must be a finite number, was nan"),
        ({"kind": "platt", "intercept": math.inf}, "intercept must be a finite number, was inf"),
        ({"kind": "isotonic"}, "one knot at least, had 0 log-odds and 0 probabilities"),
        ({"log_odds_K": (0.0,), "p_K": (0.4, 0.5)}, "had 1 log-odds and 2 probabilities"),
        ({"log_odds_K": (0.0, 0.0), "p_K": (0.4, 0.5)}, "log_odds_K must increase, [1] is 0.0"),
        ({"log_odds_K": (0.0, 1.0), "p_K": (0.5, 0.4)}, "[1] is 0.4 after 0.5"),
        ({"log_odds_K": (0.0, math.inf), "p_K": (0.4, 0.5)}, "log_odds_K[1] must be a finite"),
        ({"log_odds_K": (0.0,), "p_K": (1.0,)}, "p_K[0] must be in (0, 1), was 1.0"),
        ({"log_odds_K": (0.0,), "p_K": (math.nan,)}, "p_K[0] must be in (0, 1), was nan"),
    ],
)
def test_numbers_that_make_no_calibration_are_refused(
    numbers: dict[str, Any], finding: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(finding)):
        Calibration(**{"kind": "isotonic", **numbers})


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        ("null", "kind is one of none, platt, isotonic, found None"),
        ('{"slope": 1.0}', "kind is one of none, platt, isotonic, found {"),
        ('{"kind": ["platt"]}', "kind is one of none, platt, isotonic, found {"),
        ('{"kind": "platt", "slope": 1.0}', "platt holds intercept, kind, slope, found 'kind', '"),
        ('{"kind": "none", "a\\nb": 1}', "none holds kind, found 'a\\nb', 'kind'"),
        ('{"kind": "platt", "slope": true, "intercept": 0}', "slope must be a number, was True"),
        ('{"kind": "platt", "slope": NaN, "intercept": 0}', "slope must be a finite number"),
        ('{"kind": "platt", "slope": -1, "intercept": 0}', "slope must be at least 0, was -1"),
        ('{"kind": "platt", "slope": 1e999, "intercept": 0}', "slope must be a finite number"),
        (f'{{"kind": "platt", "slope": 1{"0" * 400}, "intercept": 0}}', "slope must be a finite"),
        ('{"kind": "isotonic", "log_odds_K": 3, "p_K": [0.5]}', "log_odds_K must be a list of"),
        ('{"kind": "isotonic", "log_odds_K": [0], "p_K": ["x"]}', "p_K[0] must be a number, was"),
        ('{"kind": "isotonic", "log_odds_K": [0, 1], "p_K": [0.6, 0.5]}', "p_K must never decrea"),
    ],
)
def test_a_model_whose_file_holds_no_calibration_is_refused_in_one_line(
    written: str, finding: str, fitted: Callable[[str], Model], tmp_path: Path
) -> None:
    fitted("majority").save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('{\n  "kind": "none"\n }', written))
    with pytest.raises(ModelError) as raised:
        load_model(tmp_path)
    assert str(raised.value).startswith(f"{path}: calibration: ")
    assert finding.replace("\n", "\\n") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_model_saved_before_there_were_calibrations_has_none(
    fitted: Callable[[str], Model], rows: Samples, tmp_path: Path
) -> None:
    model = fitted("logistic")
    model.save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    assert description.pop("calibration") == {"kind": "none"}
    path.write_text(json.dumps(description))
    loaded = load_model(tmp_path)
    assert loaded.calibration == Calibration.none()
    assert np.array_equal(loaded.predict_proba(rows.x_NF), model.predict_proba(rows.x_NF))
