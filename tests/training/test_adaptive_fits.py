"""Which way of fitting a block is predicted by, and how each way is tried."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augmentation import NotAugmentedWarning
from market.samples import Samples
from tests.models.planted import make_model, signal
from tests.training.spies import (
    Believed,
    Believer,
    Hinting,
    adaptive,
    believers,
    by_fractions,
    drifting,
    hinted,
    task,
    train_task,
    walked,
)
from training.choices import Choice
from training.fit_plan import fit_names
from training.task import FitEnded, Trained
from training.walk_forward import Training

PATH = (3.0, 1.0, 0.1)


def in_blocks(*n_right: int) -> Any:
    """Return 80 rows with half of the hints right, then blocks of 20 with so many each."""
    rng = np.random.default_rng(3)
    counts = [(80, 40), *((20, right) for right in n_right)]
    return np.concatenate([rng.permutation(np.arange(n) < right) for n, right in counts])


def sigmoid(log_odds: Any) -> Any:
    return 1 / (1 + np.exp(-log_odds))


def steps(trained: Trained) -> list[int]:
    return [outcome.choice.step for outcome in trained.folds]


def augmented(trained: Trained) -> list[bool]:
    return [outcome.choice.augmented for outcome in trained.folds]


def test_every_step_is_fitted_for_every_block_and_one_of_them_predicts_it(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(20, 0, 10, 10, 10, 10)))
    trained = train_task(task(split, tmp_path, **believers(*PATH)))
    made = [(len(fit.train), fit.belief) for fit in Believer.fits]
    expected = [(n_train, belief) for n_train in range(80, 200, 20) for belief in PATH]
    assert made == [*expected, (200, 0.1)]
    # Nothing is known before block 1; its hints were all right, those of block 2 all wrong.
    assert steps(trained) == [2, 0, 2, 2, 2, 2]
    for fold, outcome in zip(split.folds, trained.folds, strict=True):
        hint_N = split.development.x_NF[fold.block, 0]
        assert trained.p_N[fold.block] == pytest.approx(sigmoid(PATH[outcome.choice.step] * hint_N))


def test_the_deployed_fit_is_made_as_all_blocks_taught_the_last_included(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(12, 12, 12, 12, 13, 20)))
    trained = train_task(task(split, tmp_path, **believers(0.5, 0.0)))
    # 61 of 100 are within the error of the stronger step, 81 of 120 are beyond it.
    assert steps(trained)[-1] == 1
    assert trained.strength.chosen == 0
    assert Believer.fits[-1].belief == trained.hyperparameters["belief"] == 0.5
    assert trained.strength.steps == ({}, {"belief": 0.0})
    right, wrong = np.log1p(np.exp(-0.5)), np.log1p(np.exp(0.5))
    assert trained.strength.log_losses == pytest.approx(
        ((81 * right + 39 * wrong) / 120, np.log(2))
    )


@pytest.mark.parametrize("more", [{}, adaptive(1.0)], ids=["none", "adaptive"])
def test_without_a_refit_the_last_blocks_fit_is_deployed_as_it_was_chosen(
    more: dict[str, Any], tmp_path: Path
) -> None:
    rows = hinted(np.random.default_rng(5).random(200) < 0.9)
    trained = train_task(task(by_fractions(rows), tmp_path, **believers(*PATH), **more))
    last = trained.folds[-1]
    # Neither the first fit of the block nor the last.
    assert last.choice == Choice(1, augmented=False)
    assert trained.strength.chosen == 1
    assert trained.hyperparameters["belief"] == 1.0
    assert trained.final.n_rows == trained.final.n_rows_augmented == last.n_train == 120


@pytest.mark.parametrize("hint", [2.0, -1.0])
def test_no_fit_is_made_twice(hint: float, tmp_path: Path) -> None:
    split = walked(hinted(np.random.default_rng(5).random(200) < 0.8))
    work = task(split, tmp_path, **believers(*PATH), **adaptive(hint))
    trained = train_task(work)
    assert any(augmented(trained)) is (hint > 0)
    made = [(len(fit.train), fit.belief, fit.synthetic_NF is None) for fit in Believer.fits]
    # Three steps and a twin for each block, and the deployed fit.
    assert len(made) == len(set(made)) == 6 * 4 + 1 == len(fit_names(work))


@pytest.mark.parametrize("holds_back", [False, True])
def test_the_fits_of_a_pair_differ_in_synthetic_rows_alone(
    holds_back: bool, tmp_path: Path
) -> None:
    split = walked(drifting(1))
    model = believers(*PATH, holds_back=holds_back)
    train_task(task(split, tmp_path, **model, **adaptive(2.0)))
    pairs = 0
    for block in (Believer.fits[first : first + 4] for first in range(0, 24, 4)):
        *plain, twin = block
        assert twin.synthetic_NF is not None
        assert len(twin.synthetic_NF) == len(twin.train)
        (other,) = (fit for fit in plain if fit.belief == twin.belief)
        assert other.synthetic_NF is None
        assert other.draw == twin.draw
        assert same_rows(other.train, twin.train)
        assert (other.valid is not None) is (twin.valid is not None) is holds_back
        assert not holds_back or same_rows(other.valid, twin.valid)
        pairs += 1
    assert pairs == 6
    # Fits that are no pair draw each for themselves.
    assert len({fit.draw for fit in Believer.fits}) == len(Believer.fits) - pairs


def same_rows(first: Samples | None, second: Samples | None) -> bool:
    return first is not None and second is not None and first.digest() == second.digest()


class Idle(Hinting):
    """An augmenter that adds nothing."""

    def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm"])
def test_without_synthetic_rows_the_pairs_of_every_model_agree(file: str, tmp_path: Path) -> None:
    small: dict[str, Any] = {"max_epochs": 2} if file in ("mlp", "lstm") else {"n_estimators": 15}
    model = make_model(file, **small)
    split = walked(signal(160, seed=3), n_blocks=2)
    idle = functools.partial(Idle, hint=0.0)
    trained = train_task(task(split, tmp_path, model, augmentation="adaptive", new_augmenter=idle))
    verdict = trained.augmentation
    assert verdict is not None
    # Of a net, one of the pair trains side by side with others and rounds differently.
    agree = pytest.approx(0.0, abs=1e-7 if file in ("mlp", "lstm") else 0.0)
    assert (verdict.rows, verdict.gain, verdict.standard_error) == (96, agree, agree)
    assert not verdict.adopted


def test_augmentation_that_helps_is_adopted_once_earlier_blocks_have_shown_it(
    tmp_path: Path,
) -> None:
    split = walked(hinted(in_blocks(20, 20, 18, 18, 16, 16)))
    trained = train_task(task(split, tmp_path, **believers(0.5), **adaptive(3.0)))
    assert augmented(trained) == [False, True, True, True, True, True]
    for fold, outcome in zip(split.folds, trained.folds, strict=True):
        belief = 1.5 if outcome.choice.augmented else 0.5
        hint_N = split.development.x_NF[fold.block, 0]
        assert trained.p_N[fold.block] == pytest.approx(sigmoid(belief * hint_N))
    verdict = trained.augmentation
    assert verdict is not None
    assert (verdict.adopted, verdict.rows) == (True, 120)
    loss_with, loss_without = (
        0.9 * np.log1p(np.exp(-belief)) + 0.1 * np.log1p(np.exp(belief)) for belief in (1.5, 0.5)
    )
    assert verdict.log_loss_with == pytest.approx(loss_with)
    assert verdict.log_loss_without == pytest.approx(loss_without)
    assert verdict.gain == pytest.approx(loss_without - loss_with)
    assert trained.final.n_rows_augmented == 2 * trained.final.n_rows == 400
    # Strength is judged on fits without.
    assert trained.strength.log_losses == pytest.approx((loss_without,))


@pytest.mark.parametrize(("hint", "sign"), [(1.0, 0), (-1.0, -1), (1.05, 1)])
def test_augmentation_that_does_nothing_harms_or_may_be_luck_is_not_adopted(
    hint: float, sign: int, tmp_path: Path
) -> None:
    # With 12 of 20 right a slightly stronger belief gains less than its error.
    n_right = 12 if sign == 1 else 18
    split = walked(hinted(in_blocks(*[n_right] * 6)))
    trained = train_task(task(split, tmp_path, **believers(0.3), **adaptive(hint)))
    assert augmented(trained) == [False] * 6
    verdict = trained.augmentation
    assert verdict is not None
    assert verdict.gain is not None
    assert not verdict.adopted
    assert np.sign(verdict.gain) == sign
    assert Believer.fits[-1].synthetic_NF is None
    assert trained.final.n_rows_augmented == 200


def test_from_the_threshold_on_augmentation_is_not_even_tried(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(18, 18, 18, 18, 18, 18)))
    work = task(split, tmp_path, **believers(0.5, 0.4), **adaptive(3.0, threshold=120))
    trained = train_task(work)
    assert augmented(trained) == [False, True, False, False, False, False]
    tried = [len(fit.train) for fit in Believer.fits if fit.synthetic_NF is not None]
    assert tried == [80, 100]
    verdict = trained.augmentation
    assert verdict is not None
    # It helped where it was tried, yet the deployed fit has too many rows for it.
    assert verdict.rows == 40
    assert verdict.gain is not None
    assert verdict.standard_error is not None
    assert verdict.gain > 1.645 * verdict.standard_error
    assert not verdict.adopted


def test_where_every_fit_has_rows_enough_there_is_nothing_to_judge(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(18, 18, 18, 18, 18, 18)))
    trained = train_task(task(split, tmp_path, **believers(0.5), **adaptive(3.0, threshold=80)))
    verdict = trained.augmentation
    assert verdict is not None
    assert (verdict.adopted, verdict.rows, verdict.gain) == (False, 0, None)
    assert len(Believer.fits) == 7


@pytest.mark.parametrize("augmentation", ["always", "none"])
def test_what_is_configured_is_not_judged(augmentation: Any, tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(18, 18, 18, 18, 18, 18)))
    harmful = functools.partial(Hinting, hint=-1.0)
    given: dict[str, Any] = {"augmentation": augmentation, "new_augmenter": harmful}
    trained = train_task(task(split, tmp_path, **believers(0.5, 0.1), **given))
    always = augmentation == "always"
    assert augmented(trained) == [always] * 6
    assert [fit.synthetic_NF is not None for fit in Believer.fits] == [always] * 13
    assert trained.augmentation is None


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "always": lambda: {"augmentation": "always", "new_augmenter": adaptive(2.0)["new_augmenter"]},
    "adaptive": lambda: adaptive(2.0),
    "adaptive_below_a_threshold": lambda: adaptive(2.0, threshold=119),
}


@pytest.mark.parametrize("divide", [walked, by_fractions])
@pytest.mark.parametrize("beliefs", [(0.5,), PATH])
@pytest.mark.parametrize("setting", SETTINGS)
def test_fit_names_are_those_of_the_fits_that_end_in_order(
    divide: Any, beliefs: tuple[float, ...], setting: str, tmp_path: Path
) -> None:
    Believer.fails = lambda fit: len(fit.train) < 70 or fit.belief == 3.0
    split = divide(hinted(np.random.default_rng(5).random(200) < 0.8))
    work = task(split, tmp_path, **believers(*beliefs), **SETTINGS[setting]())
    *ended, _ = Training(work).fits()
    assert fit_names(work) == [fit.name for fit in ended if isinstance(fit, FitEnded)]
    assert len(set(fit_names(work))) == len(ended) == len(Believer.fits)


def test_a_fit_says_in_its_name_what_it_was_tried_with(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(18, 18)), n_blocks=2)
    work = task(split, tmp_path, **believers(0.5, 0.1), **adaptive(2.0, threshold=70))
    assert fit_names(work) == [
        *("fold 1", "fold 1 step 1", "fold 1 augmented"),
        *("fold 2", "fold 2 step 1", "final fit"),
    ]


def test_warnings_of_fits_that_were_passed_over_are_not_the_models(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(20, 0, 10, 10, 10, 10)))
    work = task(split, tmp_path, **believers(*PATH), **adaptive(1.0))
    *ended, trained = Training(work).fits()
    assert isinstance(trained, Trained)
    assert all(len(fit.warnings) == 1 for fit in ended if isinstance(fit, FitEnded))
    assert steps(trained) == [2, 0, 2, 2, 2, 2]
    expected = [f"fold {number} step 2: believes 0.1" for number in range(1, 7)]
    expected[1] = "fold 2: believes 3.0"
    assert list(trained.warnings) == [*expected, "final fit: believes 0.1"]


def fails_once(fit: Believed) -> bool:
    return (len(fit.train), fit.belief) == (100, 1.0)


def test_those_of_fits_that_failed_are(tmp_path: Path) -> None:
    Believer.fails = fails_once
    split = walked(hinted(in_blocks(20, 0, 10, 10, 10, 10)))
    trained = train_task(task(split, tmp_path, **believers(*PATH)))
    said = [sentence for sentence in trained.warnings if sentence.startswith("fold 2")]
    assert said == [
        *("fold 2: believes 3.0", "fold 2 step 1: believes 1.0"),
        "fold 2 step 1: lost belief 1.0",
    ]
    assert trained.folds[1].error is None
    assert len(trained.warnings) == 9


def test_a_step_that_failed_anywhere_is_ruled_out_from_then_on(tmp_path: Path) -> None:
    Believer.fails = fails_once
    # Believing 1.0 would be best, and is what block 2 would have been predicted by.
    split = walked(hinted(in_blocks(15, 15, 15, 15, 15, 15)))
    trained = train_task(task(split, tmp_path, **believers(*PATH)))
    assert 1 not in steps(trained)[2:]
    assert trained.strength.log_losses[1] is None
    assert None not in trained.strength.log_losses[::2]
    assert trained.strength.chosen != 1


@pytest.mark.parametrize(
    ("fails_augmented", "name"), [(True, "fold 1 augmented"), (False, "fold 1")]
)
def test_a_pair_of_which_one_failed_teaches_nothing(
    fails_augmented: bool, name: str, tmp_path: Path
) -> None:
    Believer.fails = lambda fit: (
        len(fit.train) == 80 and (fit.synthetic_NF is not None) is fails_augmented
    )
    split = walked(hinted(in_blocks(20, 20, 18, 18, 16, 16)))
    trained = train_task(task(split, tmp_path, **believers(0.5), **adaptive(3.0)))
    assert augmented(trained) == [False, False, True, True, True, True]
    assert trained.augmentation is not None
    assert trained.augmentation.rows == 100
    assert f"{name}: lost belief 0.5" in trained.warnings
    assert (trained.folds[0].error is None) is fails_augmented


def test_a_trial_that_could_not_be_augmented_is_no_failure_of_the_model(tmp_path: Path) -> None:
    class Refuses(Hinting):
        def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
            raise KeyError("neighbour")

    split = walked(hinted(in_blocks(18, 18, 18, 18, 18, 18)))
    refusing = functools.partial(Refuses, hint=3.0)
    given: dict[str, Any] = {"augmentation": "adaptive", "new_augmenter": refusing}
    *ended, trained = Training(task(split, tmp_path, **believers(0.5), **given)).fits()
    assert isinstance(trained, Trained)
    told = [one.augmentation_failure for one in ended if isinstance(one, FitEnded)]
    assert [one is not None for one in told] == [False, True] * 6 + [False]
    assert str(NotAugmentedWarning(80, "KeyError: 'neighbour'")) in str(told[1])
    assert trained.augmentation_failures == ()
    assert augmented(trained) == [False] * 6


def test_a_model_that_is_certain_is_calibrated_all_the_same(tmp_path: Path) -> None:
    split = walked(hinted(in_blocks(18, 18, 18, 18, 18, 18)))
    trained = train_task(task(split, tmp_path, Believer(belief=800.0), calibrates=True))
    assert set(trained.p_N[80:]) == {0.0, 1.0}
    assert trained.calibrated is not None
    # 9 of 10 were right: that is what certainty is worth from here on.
    assert trained.calibrated.p_N[-20:].min() == pytest.approx(0.1, abs=0.05)
    assert trained.calibrated.p_N[-20:].max() == pytest.approx(0.9, abs=0.05)
