"""A column from the future is named, and chance is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from tests.models.planted import noise, samples
from tests.training.spies import by_fractions, walked
from training.plausibility import implausible_features

Leak = Callable[[np.random.Generator, Any], Any]
LEAKS: dict[str, Leak] = {
    "label_and_noise": lambda rng, y_N: y_N + rng.normal(0, 0.7, len(y_N)),
    "falling": lambda rng, y_N: -y_N + rng.normal(0, 0.7, len(y_N)),
    "extremes": lambda rng, y_N: rng.choice([-1, 1], len(y_N)) * (y_N + 1.5 * rng.random(len(y_N))),
    "binary": lambda rng, y_N: np.where(rng.random(len(y_N)) < 0.85, y_N, 1 - y_N),
}


def with_column(rows: Samples, column_N: Any) -> Samples:
    x_NF = np.column_stack([rows.x_NF[:, :2], column_N, rows.x_NF[:, 2:]])
    return samples(x_NF, rows.y_N)


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("divide", [walked, by_fractions])
def test_a_leaking_column_is_named(leak: str, divide: Any) -> None:
    rows = noise(300, seed=6)
    leaking = with_column(rows, LEAKS[leak](np.random.default_rng(7), rows.y_N))
    (sentence,) = implausible_features(divide(leaking), max_auc=0.75)
    assert sentence.startswith("feature feature_2 alone ranks later outcomes with AUC 0.")
    assert "\n" not in sentence


@pytest.mark.parametrize("n_rows", [150, 400, 1500])
@pytest.mark.parametrize("rate", [0.5, 0.7])
def test_chance_is_never_named(n_rows: int, rate: float) -> None:
    for seed in range(20):
        split = walked(noise(n_rows, seed=seed, rate=rate))
        assert implausible_features(split, max_auc=0.75) == []


def test_what_few_rows_reach_by_chance_is_not_named_whatever_the_threshold() -> None:
    flagged = [
        bool(implausible_features(walked(noise(60, seed=seed)), max_auc=0.5)) for seed in range(40)
    ]
    assert sum(flagged) <= 1


def test_the_threshold_decides_among_many_rows() -> None:
    rows = noise(1000, seed=8)
    column_N = LEAKS["label_and_noise"](np.random.default_rng(9), rows.y_N)
    split = walked(with_column(rows, column_N))
    assert implausible_features(split, max_auc=0.6)
    assert not implausible_features(split, max_auc=0.95)


def test_a_column_that_only_the_first_rows_leak_into_is_not_skill() -> None:
    rows = noise(300, seed=6)
    column_N = np.where(np.arange(300) < 120, rows.y_N, 0.0)
    assert implausible_features(walked(with_column(rows, column_N)), max_auc=0.6) == []


def test_later_rows_of_one_class_cannot_be_judged() -> None:
    rows = noise(100, seed=6)
    y_N = np.where(np.arange(100) < 40, rows.y_N, 1)
    assert implausible_features(walked(samples(rows.x_NF, y_N)), max_auc=0.5) == []
