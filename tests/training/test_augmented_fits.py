"""Augmentation inside fits: seeded, of fitted rows only, and recorded where it cannot run."""

import functools
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import training.fitting
from augmentation import AugmentationWarning, DataAugmenter
from tests.models.planted import noise, samples
from tests.training.spies import Nearest, task, train_task, walked
from training.task import FitEnded, Trained
from training.walk_forward import Training


class Doubling:
    """An augmenter that remembers its seed and what it was given."""

    made: list["Doubling"]

    def __init__(self, seed: int) -> None:
        self.seed, self.given = seed, np.zeros((0, 0))
        self.made.append(self)

    def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
        self.given = x.copy()
        return np.concatenate([x, x + 0.5]), np.concatenate([y, y])


@pytest.mark.parametrize("holds_back", [False, True])
def test_augmentation_is_seeded_by_fit_and_sees_fitted_rows_only(
    holds_back: bool, tmp_path: Path
) -> None:
    runs = []
    for _ in range(2):
        Doubling.made = []
        Nearest.seen.clear()
        split = walked(noise(200, seed=1))
        model = Nearest(holds_back=holds_back)
        trained = train_task(
            task(split, tmp_path, model, augmentation="always", new_augmenter=Doubling)
        )
        for augmenter, (train, _, augmented) in zip(Doubling.made, Nearest.seen, strict=True):
            assert np.array_equal(augmenter.given, train.x_NF)
            assert len(augmented[1]) == 2 * len(train)
        assert trained.final.n_rows_augmented == 2 * trained.final.n_rows
        runs.append([augmenter.seed for augmenter in Doubling.made])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 7


class Breaks(Doubling):
    """An augmenter that fails in a way nobody foresaw, on fewer than 100 rows."""

    def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
        if len(x) < 100:
            raise KeyError("no such\nneighbour")
        return super().augment(x, y)


def test_an_augmentation_that_breaks_is_recorded_and_training_goes_on(tmp_path: Path) -> None:
    Doubling.made = []
    trained = train_task(
        task(walked(noise(200, seed=1)), tmp_path, augmentation="always", new_augmenter=Breaks)
    )
    reason = "original rows are used as they are: KeyError: 'no such\\nneighbour'"
    expected = (f"fold 1: no augmentation, 79 {reason}", f"fold 2: no augmentation, 99 {reason}")
    assert trained.augmentation_failures == expected
    assert set(expected) < set(trained.warnings)
    sizes = [len(augmented[1]) for _, _, augmented in Nearest.seen]
    assert sizes == [79, 99, 238, 278, 318, 358, 400]


def test_a_warning_about_augmented_rows_is_no_failure(tmp_path: Path) -> None:
    class Moves(Doubling):
        def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
            warnings.warn("moved", AugmentationWarning, stacklevel=1)
            return super().augment(x, y)

    Doubling.made = []
    trained = train_task(
        task(walked(noise(200, seed=1)), tmp_path, augmentation="always", new_augmenter=Moves)
    )
    assert trained.augmentation_failures == ()
    assert "fold 1: moved" in trained.warnings


def test_rows_that_cannot_be_augmented_are_a_failure_and_enough_rows_are_none(
    tmp_path: Path,
) -> None:
    rows = noise(200, seed=1)
    rare = samples(rows.x_NF, np.isin(np.arange(200), (5, 15, 45, 85, 105, 125, 145, 165, 185)))
    smote = functools.partial(DataAugmenter, threshold=150)
    *fits, trained = Training(
        task(walked(rare), tmp_path, augmentation="always", new_augmenter=smote)
    ).fits()
    assert isinstance(trained, Trained)
    failures = [fit.augmentation_failure for fit in fits if isinstance(fit, FitEnded)]
    assert [one is not None for one in failures] == [True, True, True, False, False, False, False]
    assert trained.augmentation_failures == tuple(failures[:3])
    assert "class 1 has 3 rows, SMOTE" in trained.augmentation_failures[0]


def test_time_spent_on_augmentation_is_counted_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    clock = SimpleNamespace(process_time=lambda: now_s[0], monotonic=lambda: 3 * now_s[0])
    monkeypatch.setattr(training.fitting, "time", clock)

    class Slow(Doubling):
        def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
            now_s[0] += 10.0
            return super().augment(x, y)

    class Busy(Nearest):
        def _fit(self, *given: Any) -> Any:
            now_s[0] += 1.0
            return super()._fit(*given)

    Doubling.made = []
    trained = train_task(
        task(
            walked(noise(200, seed=1)), tmp_path, Busy(), augmentation="always", new_augmenter=Slow
        )
    )
    cpu = trained.cpu
    assert (cpu.fit, cpu.walk_forward, cpu.augmentation) == (1.0, 6.0, 70.0)
    assert trained.duration_s == 3 * 77.0
