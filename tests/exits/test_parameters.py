import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from exits.parameter_page import markdown_page
from exits.parameters import (
    ALIASES,
    INDEX,
    NAMES,
    PARAMETERS,
    ParameterError,
    defaults,
    denormalize,
    normalize,
    override,
)

BOUNDS = (0.5, 4.0)
units = hnp.arrays(np.float64, (3, 132), elements=st.floats(0, 1))
LOW = np.array([p.low if p.kind != "forecast" else BOUNDS[0] for p in PARAMETERS])
HIGH = np.array([p.high if p.kind != "forecast" else BOUNDS[1] for p in PARAMETERS])


def of_kind(*kinds):
    return [p for p, parameter in enumerate(PARAMETERS) if parameter.kind in kinds]


def test_there_are_132_parameters_with_sound_ranges_and_the_page_shows_them_all():
    assert len(NAMES) == len(set(NAMES)) == 132
    assert NAMES[-1] == "current_atr"
    assert [INDEX[name] for name in NAMES] == list(range(132))
    for p in PARAMETERS[:-1]:
        assert p.low < p.high, p.name
        assert p.low <= p.default <= p.high, p.name
        assert p.kind not in ("flag", "decision") or (p.low, p.high) == (0, 1), p.name
        assert p.does.endswith(".")
    page = Path(__file__).parents[2] / "docs" / "exit_parameters.md"
    assert page.read_text(encoding="utf-8") == markdown_page()


def test_older_names_stand_for_parameters_and_are_none_themselves():
    assert len(ALIASES) == 7
    assert set(ALIASES.values()) <= set(NAMES)
    assert not set(ALIASES) & set(NAMES)


@given(units)
def test_units_come_back_from_real_values_to_rounding(unit_KP):
    values_KP = denormalize(unit_KP, atr_bounds=BOUNDS)
    assert ((values_KP >= LOW) & (values_KP <= HIGH)).all()
    back_KP = normalize(values_KP, atr_bounds=BOUNDS)
    smooth, whole = of_kind("real", "flag", "decision", "forecast"), of_kind("integer")
    np.testing.assert_allclose(back_KP[:, smooth], unit_KP[:, smooth], rtol=0, atol=1e-12)
    half_step = 0.5 / (HIGH - LOW)[whole]
    assert (np.abs(back_KP - unit_KP)[:, whole] <= half_step + 1e-12).all()


@given(units)
def test_real_values_come_back_from_units_to_rounding(unit_KP):
    values_KP = denormalize(unit_KP, atr_bounds=BOUNDS)
    again_KP = denormalize(normalize(values_KP, atr_bounds=BOUNDS), atr_bounds=BOUNDS)
    np.testing.assert_allclose(again_KP, values_KP, rtol=1e-13, atol=1e-15)
    whole = of_kind("integer")
    assert (again_KP[:, whole] == values_KP[:, whole]).all()
    assert (values_KP[:, whole] % 1 == 0).all()


def test_the_ends_of_a_range_are_exact_and_what_lies_outside_is_clipped():
    ends = np.array([[0.0] * 132, [1.0] * 132])
    assert (denormalize(ends, atr_bounds=BOUNDS) == [LOW, HIGH]).all()
    assert (normalize(np.array([LOW, HIGH]), atr_bounds=BOUNDS) == ends).all()
    beyond = np.array([[-3.0] * 132, [1.5] * 132])
    assert (denormalize(beyond, atr_bounds=BOUNDS) == [LOW, HIGH]).all()
    assert (normalize(np.array([LOW - 1, HIGH + 1]), atr_bounds=BOUNDS) == ends).all()


def test_bounds_of_the_atr_may_differ_from_row_to_row():
    bounds = (np.array([1.0, 100.0]), np.array([2.0, 200.0]))
    values_KP = denormalize(np.full((2, 132), 0.5), atr_bounds=bounds)
    assert values_KP[:, INDEX["current_atr"]].tolist() == [1.5, 150.0]
    assert normalize(values_KP, atr_bounds=bounds)[:, INDEX["current_atr"]].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("scale", [normalize, denormalize])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(scale, bad):
    values_KP = np.zeros((2, 132))
    values_KP[1, INDEX["stop_mult"]] = bad
    with pytest.raises(ParameterError, match=r"stop_mult must be finite, was -?(nan|inf) in row 1"):
        scale(values_KP, atr_bounds=BOUNDS)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_bounds_that_are_no_range_are_refused(bounds):
    with pytest.raises(ParameterError, match="bounds of current_atr"):
        normalize(np.zeros((1, 132)), atr_bounds=bounds)


def test_other_shapes_are_refused():
    with pytest.raises(ParameterError, match=r"shape \(K, 132\), had \(1, 131\)"):
        denormalize(np.zeros((1, 131)), atr_bounds=BOUNDS)


def test_defaults_take_one_atr_or_one_per_row():
    assert defaults(0.25).shape == (132,)
    assert defaults(0.25)[-1] == 0.25
    assert defaults(np.array([1.0, 2.0]))[:, -1].tolist() == [1.0, 2.0]
    assert np.isfinite(defaults(1.0)).all()
    with pytest.raises(ParameterError, match="current_atr must be positive"):
        defaults(0.0)


def test_overriding_sets_a_copy_in_every_row():
    values_KP = defaults(np.array([1.0, 2.0]))
    changed_KP = override(values_KP, {"max_stop_ticks": 15, "runner_hold_criteria": 4.5})
    assert changed_KP[:, INDEX["max_stop_ticks"]].tolist() == [15, 15]
    assert changed_KP[:, INDEX["runner_hold_min_r"]].tolist() == [4.5, 4.5]
    assert (changed_KP != values_KP).sum() == 4
    assert (override(values_KP[0], {}) == values_KP[0]).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stop_mult": 7}, "parameters.stop_mult must be a number in [2.5, 5], was 7"),
        ({"stop_mult": "3"}, "parameters.stop_mult must be a number in [2.5, 5], was '3'"),
        ({"stop_mult": float("nan")}, "parameters.stop_mult must be a number in [2.5, 5], was nan"),
        ({"max_stop_ticks": 9.5}, "parameters.max_stop_ticks must be a whole number, was 9.5"),
        ({"stop_mul": 3}, "parameters.stop_mul: unknown exit parameter, did you mean stop_mult?"),
        (
            {"current_atr": 1.0},
            "parameters.current_atr cannot be set: it is the ATR of each decision",
        ),
    ],
)
def test_an_override_that_cannot_be_is_refused_in_one_line(given, said):
    with pytest.raises(ParameterError) as refused:
        override(defaults(1.0), given)
    assert str(refused.value) == said


def test_the_table_comes_without_anything_heavy():
    code = "import sys, exits.parameters; print(*{m.partition('.')[0] for m in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "polars", "scipy", "torch"} & set(ended.stdout.split())
