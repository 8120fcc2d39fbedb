"""Rows that cannot be augmented come back as they were, with one line that says why."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from augmentation import AugmentationWarning, DataAugmenter, NotAugmentedWarning
from augmentation.smote import Smote

Array = npt.NDArray[Any]
X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def with_value(value: float) -> Array:
    x = X.copy()
    x[7, 2] = value
    return x


def assert_returned_with_reason(
    x: Array, y: Array, reason: str, techniques: list[str] | None = None
) -> None:
    augmenter = DataAugmenter(techniques=techniques) if techniques else DataAugmenter()
    with pytest.warns(NotAugmentedWarning, match=reason) as caught:
        x_aug, y_aug = augmenter.augment(x, y)
    assert x_aug is x
    assert y_aug is y
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (X[:0], Y[:0], r"nothing to augment in features of shape \(0, 3\)"),
        (X[:, :0], Y, r"nothing to augment in features of shape \(40, 0\)"),
        (X[:1], Y[:1], "all rows are of one class, 0"),
        (X, np.ones(40), "all rows are of one class, 1"),
        (X, Y[:39], r"shapes are \(40, 3\) and \(39,\)"),
        (X[:, 0], Y, r"shapes are \(40,\) and \(40,\)"),
        (X, Y[:, np.newaxis], r"shapes are \(40, 3\) and \(40, 1\)"),
        (with_value(np.nan), Y, "row 7, feature 2: nan"),
        (with_value(-np.inf), Y, "row 7, feature 2: -inf"),
        (X, np.where(np.arange(40) == 5, np.nan, Y), "row 5: label nan"),
        (X > 0, Y, "type bool"),
        (X, Y.astype(object), "labels of type object"),
        (np.full((40, 3), 2**53 + 2), Y, "row 0, feature 0: 9007199254740994"),
        (1e308 * np.sign(X), Y, "not finite"),
        (6e4 * np.sign(X).astype(np.float16), Y, "too large for float16"),
    ],
)
def test_unusable_rows_come_back_themselves(x: Array, y: Array, reason: str) -> None:
    assert_returned_with_reason(x, y, reason)


@pytest.mark.parametrize("rare", [1, 2, 3, 4, 5])
def test_a_tiny_minority_rules_smote_out(rare: int) -> None:
    assert_returned_with_reason(X, (np.arange(40) < rare) * 1, f"class 1 has {rare} rows, SMOTE")


@pytest.mark.parametrize("rare", [1, 2, 3, 4, 5])
def test_a_tiny_minority_is_augmented_without_smote(rare: int) -> None:
    y = (np.arange(40) < rare) * 1
    names = ["noise", "time_shift", "feature_dropout"]
    x_aug, y_aug = DataAugmenter(techniques=names).augment(X, y)
    assert len(x_aug) == 120
    assert y_aug.sum() == 3 * rare


def test_six_rows_of_a_class_are_enough_for_five_neighbours() -> None:
    assert DataAugmenter().augment(X, (np.arange(40) < 6) * 1)[1].sum() == 18


def test_time_shift_alone_has_nothing_to_do_on_plain_rows() -> None:
    assert_returned_with_reason(X, Y, "no technique named works", techniques=["time_shift"])
    windows = np.repeat(X[:, np.newaxis], 4, axis=1)
    assert len(DataAugmenter(techniques=["time_shift"]).augment(windows, Y)[0]) == 120


def test_a_reason_of_several_lines_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("Input X is odd.\n  See the manual.")

    monkeypatch.setattr(Smote, "apply", refuse)
    assert_returned_with_reason(X, Y, r"they are: Input X is odd\. See the manual\.$")


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=14)),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_float_rows_raise_and_the_originals_survive(x: Array, classes: int, pick: Any) -> None:
    y = np.array([pick.randint(0, classes) for _ in range(len(x))], dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AugmentationWarning)
        x_aug, y_aug = DataAugmenter(smote_neighbors=1).augment(x, y)
    assert x_aug[: len(x)].tobytes() == x.tobytes()
    assert len(x_aug) == len(y_aug)
    assert len(x_aug) in (len(x), 3 * len(x))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("threshold", -1),
        ("strong_below", -1),
        ("noise_fraction", 0.0),
        ("noise_fraction", np.nan),
        ("noise_fraction", np.inf),
        ("max_shift_steps", 0),
        ("dropout_fraction", 0.0),
        ("dropout_fraction", 1.0),
        ("smote_neighbors", 0),
        ("techniques", []),
        ("techniques", ["noise", "noise"]),
        ("techniques", ["mixup"]),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must") as caught:
        DataAugmenter(**{setting: value})
    assert "\n" not in str(caught.value)


def test_a_negative_threshold_of_a_call_is_an_error_and_no_fallback() -> None:
    with pytest.raises(ValueError, match="threshold must be at least 0, was -1"):
        DataAugmenter().augment(X, Y, threshold=-1)
