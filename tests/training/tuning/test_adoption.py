"""What a search found is adopted only where it stands on rows that no trial has seen.

Axes: N rows of development, M rows of the later blocks.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.bars import FloatArray
from market.samples import IntArray, Samples
from market.splits import Split, known_before
from selection.evidence import advantage
from selection.holdout_ledger import HoldoutLedger, Opening
from selection.metrics import log_losses
from selection.out_of_fold import OutOfFold
from selection.tuned_file import Adoption, Compared
from tests.models.planted import HOUR, make_model, noise, signal
from tests.training.spies import believers, drifting, task, train_task, walked
from training.tuning.adoption import Later, compared, default_scores, look_number
from training.tuning.campaign import task_with
from training.tuning.rivals import Rivals
from training.tuning.trial import Attempt, Trial, attempted, objective

START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC)
DAY = timedelta(days=1)


def towards(y_N: IntArray, nats: float, noise_nats: float = 0.0, seed: int = 1) -> FloatArray:
    """Return probabilities that lean towards the labels by so many nats, more or less."""
    rng = np.random.default_rng(seed)
    lean_N = nats + noise_nats * rng.normal(size=len(y_N))
    return np.asarray(1 / (1 + np.exp(-np.where(y_N == 1, lean_N, -lean_N))))


def asked(
    split: Split, default_N: FloatArray, tuned_N: FloatArray, **changes: Any
) -> tuple[Compared, Adoption]:
    """Compare predictions of all rows on the blocks after the first four."""
    later = Later.of(split, 4)
    given: dict[str, Any] = {"alpha": 0.05, "look": 1, **changes}
    return compared(
        split.development, later, default_N=default_N, tuned_M=tuned_N[later.rows], **given
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return walked(noise(600, seed=1, label_bars=1))


def test_the_later_blocks_are_all_that_no_trial_has_seen() -> None:
    rows = drifting(3)
    split = walked(rows)
    later, known = Later.of(split, 4), known_before(split, 4)
    assert later.rows.tolist() == list(range(160, 200))
    assert later.block_M.tolist() == [4] * 20 + [5] * 20
    assert np.datetime64(later.since_utc.replace(tzinfo=None), "us") == rows.t0_N[160]
    assert known.development.t1_N.max() <= rows.t0_N[160]


def test_predictions_that_are_the_defaults_gain_nothing_and_are_not_adopted(split: Split) -> None:
    y_N = split.development.y_N
    default_N = towards(y_N, 0.5, 1.0)
    both, adoption = asked(split, default_N, default_N)
    assert both.default == both.tuned
    assert (adoption.gain, adoption.rows, adoption.alpha, adoption.look) == (0.0, 120, 0.05, 1)
    assert adoption.p_value >= 0.5


def test_a_planted_better_model_is_found_and_its_mirror_image_is_not(split: Split) -> None:
    y_N = split.development.y_N
    default_N, tuned_N = towards(y_N, 0.1, 0.5), towards(y_N, 0.5, 0.5, seed=2)
    both, adoption = asked(split, default_N, tuned_N)
    assert adoption.p_value < 0.001
    later = Later.of(split, 4).rows
    assert both.tuned.log_loss == pytest.approx(log_losses(y_N[later], tuned_N[later]).mean())
    assert adoption.gain == pytest.approx(both.default.log_loss - both.tuned.log_loss)
    assert (both.tuned.rows, both.default.rows) == (120, 120)
    _, mirrored = asked(split, tuned_N, default_N)
    assert mirrored.gain == pytest.approx(-adoption.gain)
    assert mirrored.p_value > 0.999


def test_only_the_later_rows_count(split: Split) -> None:
    y_N = split.development.y_N
    default_N, tuned_N = towards(y_N, 0.1, 0.5), towards(y_N, 0.2, 0.5, seed=2)
    first = asked(split, default_N, tuned_N)
    before_N = np.arange(600) < Later.of(split, 4).rows[0]
    assert asked(split, np.where(before_N, 0.5, default_N), tuned_N) == first
    assert asked(split, np.where(before_N, np.nan, default_N), tuned_N) == first


def test_the_p_value_is_that_of_the_paired_test_of_selection(split: Split) -> None:
    development, later = split.development, Later.of(split, 4)
    default_N, tuned_N = (towards(development.y_N, 0.2, 0.5, seed=seed) for seed in (1, 2))
    _, adoption = asked(split, default_N, tuned_N)
    rows = development.take(later.rows)
    tuned, default = (
        OutOfFold(rows.y_N, p_N[later.rows], rows.weight_N, rows.t0_N, rows.t1_N, later.block_M)
        for p_N in (tuned_N, default_N)
    )
    known = advantage(tuned, default)
    assert (adoption.p_value, adoption.standard_error) == (known.p_value, known.standard_error)


def with_labels(rows: Samples, n_bars: int) -> Split:
    """Return the split of the same rows with labels of so many bars, cut as it was before."""
    whole = walked(rows)
    return replace(whole, development=replace(rows, t1_N=rows.t0_N + n_bars * HOUR))


def test_labels_that_overlap_say_less() -> None:
    rows = noise(600, seed=1, label_bars=1)
    # Neighbours share their outcome, as overlapping labels do.
    rows = replace(rows, y_N=np.repeat(rows.y_N[::4], 4))
    default_N, tuned_N = towards(rows.y_N, 0.1, 0.6), towards(rows.y_N, 0.3, 0.6, seed=2)
    found = [asked(with_labels(rows, n_bars), default_N, tuned_N)[1] for n_bars in (1, 4, 12)]
    assert found[0].p_value < found[1].p_value < found[2].p_value
    assert found[0].effective_rows > found[1].effective_rows > found[2].effective_rows
    assert found[0].gain == found[2].gain


def test_with_too_few_rows_that_do_not_overlap_nothing_is_adopted() -> None:
    rows = noise(600, seed=1, label_bars=1)
    default_N, tuned_N = towards(rows.y_N, 0.0), towards(rows.y_N, 3.0)
    _, adoption = asked(with_labels(rows, 40), default_N, tuned_N)
    assert adoption.effective_rows < 10
    assert adoption.p_value == 1.0
    _, enough = asked(with_labels(rows, 2), default_N, tuned_N)
    assert enough.p_value < 0.05


def test_among_models_no_better_than_the_default_few_would_be_adopted() -> None:
    n_adopted = 0
    for seed in range(200):
        split = walked(noise(240, seed=seed, label_bars=1))
        y_N, rng = split.development.y_N, np.random.default_rng(seed)
        default_N, tuned_N = 1 / (1 + np.exp(-0.4 * rng.normal(size=(2, len(y_N)))))
        n_adopted += asked(split, default_N, tuned_N)[1].p_value < 0.05
    # Of 200 at 5%, 10 are expected; more than 20 are met in one case of a thousand.
    assert n_adopted <= 20
    assert n_adopted > 0


def test_each_look_is_allowed_half_of_the_one_before(split: Split) -> None:
    p_N = towards(split.development.y_N, 0.5, 1.0)
    alphas = [asked(split, p_N, p_N, alpha=0.08, look=look)[1].alpha for look in (1, 2, 3, 4)]
    assert alphas == [0.08, 0.04, 0.02, 0.01]
    # However often it is looked, it is wrongly adopted less often than twice the first look's.
    assert sum(alphas) < 0.16


def attempt(split: Split, work: Any) -> Attempt:
    known = task_with(work, work.model.hyperparameters, known_before(split, 4))
    return attempted(Trial(known, 1, 0.02, Rivals(), 600.0))


def test_a_default_without_choices_scores_as_the_trial_of_what_is_configured(
    tmp_path: Path,
) -> None:
    rows = signal(300, seed=2)
    spans_N = np.random.default_rng(1).integers(1, 9, len(rows)) * HOUR
    split = walked(replace(rows, t1_N=rows.t0_N + spans_N))
    work = task(split, tmp_path, make_model("logistic"))
    one, scores = attempt(split, work), default_scores(split, train_task(work), 4, 0.02)
    assert scores.score.rows == len(one.p_N) < 120
    figures = (scores.score.log_loss, scores.score.accuracy, scores.objective)
    assert figures == pytest.approx((one.log_loss, one.accuracy, one.values[-1]))


def test_a_default_that_chooses_is_scored_by_what_it_chose(tmp_path: Path) -> None:
    split = walked(drifting(10))
    trained = train_task(task(split, tmp_path, **believers(2.0, 0.1)))
    scores = default_scores(split, trained, 4, 0.5)
    known_N = split.folds[4].train_N
    rows = known_N[known_N >= 80]
    y_N = split.development.y_N[rows]
    assert scores.score.log_loss == pytest.approx(log_losses(y_N, trained.p_N[rows]).mean())
    fitted = float(np.mean([fold.train_accuracy for fold in trained.folds[:4]]))
    gap = fitted - scores.score.accuracy
    plain = {"log_loss": scores.score.log_loss, "gap": gap}
    assert scores.objective == pytest.approx(objective(plain, 0.5))
    assert len({fold.choice.step for fold in trained.folds[:4]}) == 2


def opening(**changes: Any) -> Opening:
    given: dict[str, Any] = {
        "symbol": "EURUSD",
        "market": "real",
        "start_utc": START,
        "end_utc": END,
        "conf_digest": "EURUSD_XGBoost_1f trial 4",
        "data_digest": "da7a",
        "run_id": None,
        "time_utc": END,
        "model": "XGBoost",
        "execution": "EURUSD_XGBoost_1f trial 4",
    }
    return Opening(**{**given, **changes})


def another(trial: int, **changes: Any) -> Opening:
    look = f"EURUSD_XGBoost_1f trial {trial}"
    return opening(**{"conf_digest": look, "execution": look, **changes})


def test_every_further_look_counts_and_the_same_one_keeps_its_number(tmp_path: Path) -> None:
    ledger = tmp_path / "sweeps" / "looks.jsonl"
    assert look_number(ledger, another(4)) == 1
    assert look_number(ledger, another(4, time_utc=END + DAY)) == 1
    assert look_number(ledger, another(9)) == 2
    assert look_number(ledger, another(4)) == 1
    assert look_number(ledger, another(9, data_digest="m0re", end_utc=END + DAY)) == 3
    assert look_number(ledger, another(12)) == 4
    assert len(HoldoutLedger(ledger).recorded()) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "MLP"},
        {"symbol": "GBPUSD"},
        {"market": "simulated"},
        {"start_utc": END + DAY, "end_utc": END + 90 * DAY},
        {"start_utc": START - 90 * DAY, "end_utc": START - DAY},
    ],
)
def test_a_look_at_something_else_is_the_first(changes: dict[str, Any], tmp_path: Path) -> None:
    ledger = tmp_path / "looks.jsonl"
    assert [look_number(ledger, another(trial)) for trial in (1, 2)] == [1, 2]
    assert look_number(ledger, another(3, **changes)) == 1
    assert look_number(ledger, another(3)) == 3


def test_a_ledger_that_cannot_be_read_keeps_the_blocks_unseen(tmp_path: Path) -> None:
    ledger = tmp_path / "looks.jsonl"
    ledger.write_text("no opening\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"looks\.jsonl, line 1: is no opening") as refusal:
        look_number(ledger, another(1))
    assert "\n" not in str(refusal.value)
    assert ledger.read_text(encoding="utf-8") == "no opening\n"
