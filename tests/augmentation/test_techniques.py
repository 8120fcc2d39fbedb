"""What each technique does to the rows, and what it leaves alone."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentation.feature_dropout import FeatureDropout
from augmentation.gaussian_noise import GaussianNoise
from augmentation.smote import Smote
from augmentation.time_shift import TimeShift

Array = npt.NDArray[Any]
SCALES = np.array([0.01, 1.0, 500.0])


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def data(*shape: int) -> tuple[Array, Array, Array]:
    """Rows of very different scales, labels in turn, and every row as a source."""
    x = 7 + SCALES * np.random.default_rng(1).normal(size=shape)
    return x, np.arange(shape[0]) % 2, np.arange(shape[0])


@pytest.mark.parametrize("shape", [(4000, 3), (800, 5, 3)])
def test_noise_is_a_share_of_each_features_own_deviation(shape: tuple[int, ...]) -> None:
    x, y, source = data(*shape)
    x_new, y_new = GaussianNoise(noise_fraction=0.15).apply(x, y, source, generator())
    axes = tuple(range(x.ndim - 1))
    ratio = (x_new - x).std(axis=axes) / x.std(axis=axes)
    assert ratio == pytest.approx([0.15] * 3, abs=0.006)
    assert np.abs((x_new - x).mean(axis=axes) / SCALES) == pytest.approx([0] * 3, abs=0.01)
    assert (y_new == y).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**31))
def test_a_shifted_ramp_moves_along_time_and_no_feature_becomes_another(
    n_steps: int, longest: int, seed: int
) -> None:
    time_L, offset_F = np.arange(n_steps), np.array([0.0, 1000.0, -1000.0])
    x = np.tile(time_L[:, np.newaxis] + offset_F, (40, 1, 1))
    shift = TimeShift(max_shift_steps=longest)
    x_new, _ = shift.apply(x, np.zeros(40), np.arange(40), np.random.default_rng(seed))
    ramp_SLF = x_new - offset_F
    moves = np.arange(-longest, longest + 1)
    allowed = np.clip(time_L - moves[moves != 0][:, np.newaxis], 0, n_steps - 1)
    assert (ramp_SLF == ramp_SLF[:, :, :1]).all()
    assert all((window == allowed).all(axis=1).any() for window in ramp_SLF[:, :, 0])


def test_every_move_from_one_step_to_the_longest_occurs_in_both_directions() -> None:
    x = np.tile(np.arange(10.0)[:, np.newaxis], (300, 1, 2))
    x_new, _ = TimeShift(max_shift_steps=2).apply(x, np.zeros(300), np.arange(300), generator())
    assert set(np.unique(5 - x_new[:, 5, 0])) == {-2, -1, 1, 2}


def test_a_shifted_window_keeps_the_label_of_its_source() -> None:
    x = np.arange(20.0)[:, np.newaxis, np.newaxis] + np.zeros((20, 4, 2))
    source = np.array([3, 3, 17, 4])
    x_new, y_new = TimeShift(max_shift_steps=2).apply(x, np.arange(20), source, generator())
    assert (x_new[:, 0, 0] == source).all()
    assert (y_new == source).all()


@pytest.mark.parametrize("shape", [(10, 3), (10, 1, 3)])
def test_time_shift_refuses_rows_without_time(shape: tuple[int, ...]) -> None:
    x, y, source = data(*shape)
    with pytest.raises(ValueError, match="time shift needs windows"):
        TimeShift(max_shift_steps=2).apply(x, y, source, generator())


@pytest.mark.parametrize("shape", [(4000, 3), (4000, 4, 3)])
def test_a_dropped_feature_is_one_number_in_every_row_step_and_class(
    shape: tuple[int, ...],
) -> None:
    x, y, source = data(*shape)
    x[y == 1] += SCALES
    x_new, y_new = FeatureDropout(dropout_fraction=0.1).apply(x, y, source, generator())
    mean_F = x.mean(axis=tuple(range(x.ndim - 1)))
    dropped = x_new != x
    assert (np.where(dropped, mean_F, x) == x_new).all()
    by_step_SLF = dropped.reshape(4000, -1, 3)
    assert (by_step_SLF == by_step_SLF[:, :1]).all()
    assert dropped.any()
    assert (y_new == y).all()


def test_one_feature_in_ten_is_dropped_each_on_its_own() -> None:
    x, y, source = data(8000, 3)
    x_new, _ = FeatureDropout(dropout_fraction=0.1).apply(x, y, source, generator())
    dropped = x_new != x
    assert dropped.mean(axis=0) == pytest.approx([0.1] * 3, abs=0.015)
    assert (dropped[:, 0] & dropped[:, 1]).mean() == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("shape", [(40, 3), (40, 4, 3)])
def test_smote_rows_lie_between_two_rows_of_their_class(shape: tuple[int, ...]) -> None:
    x, y, source = data(*shape)
    x_new, y_new = Smote(smote_neighbors=3).apply(x, y, source[:24], generator())
    spread = np.broadcast_to(SCALES, shape[1:]).ravel()
    flat, flat_new = x.reshape(40, -1) / spread, x_new.reshape(24, -1) / spread
    for row, label in zip(flat_new, y_new, strict=True):
        ends = flat[y == label]
        line = ends[:, np.newaxis] - ends
        length = np.maximum((line**2).sum(axis=2), 1e-300)
        share = ((row - ends) * line).sum(axis=2) / length
        miss = np.abs(ends + share[:, :, np.newaxis] * line - row).max(axis=2)
        assert ((miss < 1e-9) & (share >= -1e-9) & (share <= 1 + 1e-9)).any()


def test_smote_keeps_the_mix_of_its_sources_and_does_not_balance() -> None:
    x, _, _ = data(100, 3)
    y = np.where(np.arange(100) < 80, "loss", "win")
    source = np.r_[0:40, 80:90]
    _, y_new = Smote(smote_neighbors=5).apply(x, y, source, generator())
    assert (np.sum(y_new == "loss"), np.sum(y_new == "win")) == (40, 10)


def test_units_do_not_decide_who_is_a_smote_neighbour() -> None:
    x, y, source = data(60, 3)
    smote = Smote(smote_neighbors=2)
    x_new, _ = smote.apply(x, y, source, generator())
    x_scaled, _ = smote.apply(x * [1e6, 1.0, 1e-6], y, source, generator())
    assert x_scaled == pytest.approx(x_new * [1e6, 1.0, 1e-6], rel=1e-9)


def test_smote_says_which_class_has_too_few_rows() -> None:
    x, _, source = data(30, 3)
    y = np.where(np.arange(30) < 5, "win", "loss")
    with pytest.raises(ValueError, match=r"class win has 5 rows, SMOTE with 5 .* at least 6"):
        Smote(smote_neighbors=5).apply(x, y, source, generator())


def test_the_classes_do_not_share_smotes_draws() -> None:
    x = np.repeat(np.arange(20.0), 2)[:, np.newaxis]
    y = np.arange(40) % 2
    x_new, y_new = Smote(smote_neighbors=5).apply(x, y, np.arange(40), generator())
    assert not np.allclose(x_new[y_new == 0], x_new[y_new == 1])
