"""Why augmentation runs inside a fit only: before a split it turns pure noise into skill."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from augmentation import DataAugmenter
from market.bars import DataError
from market.samples import Samples

Array = npt.NDArray[Any]


def pure_noise(seed: int) -> tuple[Array, Array, Array]:
    """Features that know nothing of the label, and a random order to split by."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(150) % 2)
    return rng.normal(size=(150, 12)), y, rng.permutation(450)


def nearest_neighbour_accuracy(x: Array, y: Array, x_test: Array, y_test: Array) -> float:
    distance = ((x_test[:, np.newaxis] - x) ** 2).sum(axis=2)
    return float(np.mean(y[distance.argmin(axis=1)] == y_test))


def split_after_augmenting(seed: int) -> float:
    x, y, order = pure_noise(seed)
    x, y = DataAugmenter().augment(x, y)
    train, test = order[:315], order[315:]
    return nearest_neighbour_accuracy(x[train], y[train], x[test], y[test])


def split_before_augmenting(seed: int) -> float:
    x, y, order = pure_noise(seed)
    order = order[order < 150]
    train, test = order[:105], order[105:]
    x_train, y_train = DataAugmenter().augment(x[train], y[train])
    return nearest_neighbour_accuracy(x_train, y_train, x[test], y[test])


def test_augmenting_before_the_split_finds_skill_in_pure_noise_and_inside_the_fit_none() -> None:
    seeds = range(12)
    assert np.mean([split_after_augmenting(seed) for seed in seeds]) >= 0.70
    assert np.mean([split_before_augmenting(seed) for seed in seeds]) <= 0.55


@pytest.mark.parametrize("time_of_synthetic", ["repeated", "sources"])
def test_samples_refuse_augmented_rows_for_want_of_their_own_times(time_of_synthetic: str) -> None:
    x, y, _ = pure_noise(0)
    t0 = np.datetime64("2024-01-01", "us") + np.arange(150) * np.timedelta64(1, "h")
    weight, hour = np.ones(450), np.timedelta64(1, "h")
    names = tuple(f"f{column}" for column in range(12))
    Samples(x, y, weight[:150], t0, t0 + hour, names)
    x_aug, y_aug = DataAugmenter().augment(x, y)
    t0_aug = np.tile(t0, 3) if time_of_synthetic == "repeated" else np.repeat(t0, 3)
    with pytest.raises(DataError, match="each time once"):
        Samples(x_aug, y_aug, weight, t0_aug, t0_aug + hour, names)
