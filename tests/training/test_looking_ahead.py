"""No choice, like no prediction, hangs on what was not known when its block began.

Axes: N rows.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from tests.models.planted import make_model, signal
from tests.training.spies import adaptive, believers, drifting, task, train_task, walked
from training.choices import Choice
from training.task import Trained


def chosen_and_predicted(rows: Samples, folder: Path, seed: int) -> tuple[list[Choice], Any]:
    """Train with every choice left open; synthetic rows help or harm by turns."""
    augmentation = adaptive(hint=(2.0, 0.3, -1.0, 4.0)[seed % 4])
    work = task(walked(rows), folder, **believers(2.0, 0.7, 0.1), **augmentation)
    trained = train_task(work)
    return [outcome.choice for outcome in trained.folds], trained.p_N


def test_no_choice_nor_prediction_of_a_block_hangs_on_labels_not_known_when_it_began(
    tmp_path: Path,
) -> None:
    changed_later, chosen = 0, set()
    for seed in range(12):
        rows = drifting(seed)
        choices, p_N = chosen_and_predicted(rows, tmp_path, seed)
        chosen |= set(choices)
        for number, start in enumerate(range(80, 200, 20)):
            open_N = rows.t1_N > rows.t0_N[start]
            assert open_N[:start].any()
            flipped = replace(rows, y_N=np.where(open_N, 1 - rows.y_N, rows.y_N))
            others, other_p_N = chosen_and_predicted(flipped, tmp_path, seed)
            assert others[: number + 1] == choices[: number + 1], (seed, number)
            block_end = start + 20
            same = np.array_equal(p_N[:block_end], other_p_N[:block_end], equal_nan=True)
            assert same, (seed, number)
            changed_later += others[number + 1 :] != choices[number + 1 :]
    # Choices that were always the same would hang on nothing at all.
    assert {choice.step for choice in chosen} == {0, 1, 2}
    assert {choice.augmented for choice in chosen} == {False, True}
    assert changed_later > 12


@pytest.mark.parametrize("first_changed", [99, 100, 101, 137, 179])
def test_labels_from_a_row_on_change_nothing_before_its_block_ends(
    first_changed: int, tmp_path: Path
) -> None:
    block = (first_changed - 80) // 20
    for seed in range(4):
        rows = drifting(seed)
        y_N = np.where(np.arange(200) < first_changed, rows.y_N, 1 - rows.y_N)
        choices, p_N = chosen_and_predicted(rows, tmp_path, seed)
        others, other_p_N = chosen_and_predicted(replace(rows, y_N=y_N), tmp_path, seed)
        assert others[: block + 1] == choices[: block + 1]
        end = 80 + 20 * (block + 1)
        assert np.array_equal(p_N[:end], other_p_N[:end], equal_nan=True)


def test_real_models_with_every_choice_open_never_look_ahead(tmp_path: Path) -> None:
    rows = signal(240, seed=3, label_bars=6)
    shares = (0.0, 0.05, 0.15)
    forests = [make_model("random_forest", n_estimators=20, min_leaf_share=one) for one in shares]
    open_choices: dict[str, Any] = {"augmentation": "adaptive", "calibrates": True}

    def run(given: Samples) -> Trained:
        split = walked(given, n_blocks=4)
        stronger = tuple(forests[1:])
        return train_task(task(split, tmp_path, forests[0], stronger=stronger, **open_choices))

    first, start = run(rows), 96 + 2 * 36
    y_N = np.where(rows.t1_N > rows.t0_N[start], 1 - rows.y_N, rows.y_N)
    second, end = run(replace(rows, y_N=y_N)), start + 36
    assert [one.choice for one in first.folds[:3]] == [one.choice for one in second.folds[:3]]
    assert np.array_equal(first.p_N[:end], second.p_N[:end], equal_nan=True)
    assert not np.array_equal(first.p_N[end:], second.p_N[end:])
    assert first.calibrated is not None
    assert second.calibrated is not None
    known = end - 96
    assert np.array_equal(first.calibrated.p_N[:known], second.calibrated.p_N[:known])
