"""Which rows each fit sees, and what happens when one fails.

Axes: N rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from models.base import ModelError
from models.store import load_model
from tests.models.planted import HOUR, make_model, noise, samples, signal
from tests.training.spies import Nearest, by_fractions, task, train_task, walked
from training.fitting import generator
from training.task import Failure, FitEnded, Task, Trained
from training.walk_forward import Training


def with_spans(rows: Samples, seed: int, longest_bars: int) -> Samples:
    """Return the rows with labels of different lengths."""
    spans_N = np.random.default_rng(seed).integers(1, longest_bars + 1, len(rows)) * HOUR
    return Samples(rows.x_NF, rows.y_N, rows.weight_N, rows.t0_N, rows.t0_N + spans_N, rows.names_F)


@pytest.mark.parametrize("embargo_bars", [0, 5])
def test_each_block_is_predicted_by_a_fit_on_labels_that_had_ended(
    embargo_bars: int, tmp_path: Path
) -> None:
    rows = with_spans(noise(200, seed=1), seed=2, longest_bars=20)
    split = walked(rows, embargo_bars=embargo_bars)
    trained = train_task(task(split, tmp_path))
    edges = [80, 100, 120, 140, 160, 180, 200]
    fits = Nearest.seen[:6]
    assert len(Nearest.seen) == 7
    for start, outcome, (train, _, _) in zip(edges[:-1], trained.folds, fits, strict=True):
        decided_N = rows.t1_N[:start] + embargo_bars * HOUR <= rows.t0_N[start]
        assert np.array_equal(train.t0_N, rows.t0_N[:start][decided_N])
        assert 0 < len(train) < start
        assert (outcome.n_train, outcome.n_purged) == (len(train), start - len(train))
        assert outcome.base_rate == pytest.approx(train.y_N.mean())


@pytest.mark.parametrize("divide", [walked, by_fractions])
def test_the_rows_of_the_blocks_are_predicted_and_no_others(divide: Any, tmp_path: Path) -> None:
    split = divide(noise(200, seed=1))
    trained = train_task(task(split, tmp_path))
    expected_N = np.full(200, np.nan)
    rate_N = expected_N.copy()
    for fold, (train, _, _) in zip(split.folds, Nearest.seen, strict=False):
        model = Nearest()
        model._x_NF, model._y_N, model.names_F = train.x_NF, train.y_N, train.names_F
        expected_N[fold.block] = model.predict_proba(split.development.x_NF[fold.block])[:, 1]
        rate_N[fold.block] = train.y_N.mean()
    assert np.isnan(expected_N[: split.folds[0].block.start]).all()
    assert not np.isnan(expected_N[split.folds[0].block.start :]).any()
    assert np.array_equal(trained.p_N, expected_N, equal_nan=True)
    assert trained.base_rate_N == pytest.approx(rate_N, nan_ok=True)


@pytest.mark.parametrize("file", ["council", "lstm", "mlp", "random_forest", "xgboost", "logistic"])
@pytest.mark.parametrize("first_changed", [130, 171])
def test_a_prediction_never_depends_on_later_rows(
    file: str, first_changed: int, tmp_path: Path
) -> None:
    changes = {"lstm": {"max_epochs": 2}, "mlp": {"max_epochs": 2}}.get(file, {})
    rows = signal(200, seed=3, label_bars=4)
    x_NF, y_N = rows.x_NF.copy(), rows.y_N.copy()
    x_NF[first_changed:] = x_NF[first_changed:] * 3 + 1
    y_N[first_changed:] = 1 - y_N[first_changed:]
    changed = Samples(x_NF, y_N, rows.weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    first_N, second_N = (
        train_task(task(walked(one, n_blocks=3), tmp_path, make_model(file, **changes))).p_N
        for one in (rows, changed)
    )
    assert np.array_equal(first_N[:first_changed], second_N[:first_changed], equal_nan=True)
    assert not np.array_equal(first_N[first_changed:], second_N[first_changed:])


def test_models_that_look_back_are_given_the_rows_before_their_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    answer = Nearest._log_odds

    def spy(self: Nearest, x_NF: Any, context_NF: Any) -> Any:
        given.append((x_NF, context_NF))
        return answer(self, x_NF, context_NF)

    monkeypatch.setattr(Nearest, "_log_odds", spy)
    split = walked(noise(200, seed=1))
    train_task(task(split, tmp_path))
    predicted = [(x_NF, before_NF) for x_NF, before_NF in given if before_NF is not None]
    assert len(predicted) == 6
    for fold, (x_NF, before_NF) in zip(split.folds, predicted, strict=True):
        assert np.array_equal(x_NF, split.development.x_NF[fold.block])
        assert np.array_equal(before_NF, split.development.x_NF[: fold.block.start])


def memoriser_accuracy(label_bars: int, told_bars: int, folder: Path) -> float:
    """Return accuracy on noise whose labels overlap and whose features persist.

    Labels last ``label_bars``; the split is told ``told_bars``.
    """
    hits = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x_NF = np.cumsum(rng.normal(size=(300, 3)), axis=0)
        returns = rng.normal(size=300 + label_bars)
        ahead_N = np.convolve(returns, np.ones(label_bars), mode="valid")[1:]
        rows = samples(x_NF, ahead_N > 0, label_bars=told_bars)
        trained = train_task(task(walked(rows, n_blocks=60), folder))
        judged_N = ~np.isnan(trained.p_N)
        hits.append((trained.p_N[judged_N] > 0.5) == (rows.y_N[judged_N] == 1))
    return float(np.mean(np.concatenate(hits)))


def test_overlapping_labels_are_skill_only_where_they_are_not_purged(tmp_path: Path) -> None:
    assert memoriser_accuracy(20, told_bars=0, folder=tmp_path) > 0.65
    assert memoriser_accuracy(20, told_bars=20, folder=tmp_path) == pytest.approx(0.5, abs=0.07)


def test_the_deployed_fit_sees_all_of_development(tmp_path: Path) -> None:
    trained = train_task(task(walked(noise(200, seed=1)), tmp_path))
    assert len(Nearest.seen) == 7
    assert len(Nearest.seen[-1][0]) == 200
    assert trained.final.n_rows == 200
    assert trained.importance is None


def test_the_tasks_own_model_stays_unfitted(tmp_path: Path) -> None:
    work = task(walked(noise(200, seed=1)), tmp_path)
    train_task(work)
    assert work.model.names_F == ()


def test_a_sealed_holdout_is_never_seen_nor_are_labels_that_reach_into_it(tmp_path: Path) -> None:
    rows = with_spans(noise(400, seed=1), seed=2, longest_bars=30)
    split = walked(rows, holdout_fraction=0.15, embargo_bars=3)
    train_task(task(split, tmp_path))
    decided_N = rows.t1_N[:340] + 3 * HOUR <= rows.t0_N[340]
    assert decided_N.sum() < 340
    assert np.array_equal(Nearest.seen[-1][0].t0_N, rows.t0_N[:340][decided_N])


def test_by_fractions_the_fit_that_predicted_the_test_part_is_deployed(tmp_path: Path) -> None:
    rows = signal(200, seed=1)
    trained = train_task(task(by_fractions(rows), tmp_path, make_model("logistic")))
    deployed = load_model(tmp_path / "LogisticRegression")
    assert trained.final.n_rows == trained.folds[-1].n_train == 119
    p_N = deployed.predict_proba(rows.x_NF[120:])[:, 1]
    assert np.array_equal(trained.p_N[120:], p_N)
    assert trained.importance == deployed.importance()


def test_a_fit_that_stops_early_gives_up_its_own_latest_rows_purged(tmp_path: Path) -> None:
    rows = with_spans(noise(200, seed=1), seed=2, longest_bars=10)
    trained = train_task(task(walked(rows), tmp_path, Nearest(holds_back=True)))
    for outcome, (train, tail, _) in zip(trained.folds, Nearest.seen, strict=False):
        assert tail is not None
        assert len(tail) == round(0.15 * outcome.n_train)
        assert (train.t1_N <= tail.t0_N[0]).all()
        assert outcome.n_train - len(tail) - 10 <= len(train) < outcome.n_train - len(tail)


def test_training_accuracy_is_that_of_the_fitted_rows(tmp_path: Path) -> None:
    trained = train_task(task(walked(noise(200, seed=1)), tmp_path))
    assert [outcome.train_accuracy for outcome in trained.folds] == [1.0] * 6


def test_a_first_fold_of_one_class_fails_alone(tmp_path: Path) -> None:
    rows = noise(200, seed=1)
    y_N = np.where(np.arange(200) < 90, 1, rows.y_N)
    early = samples(rows.x_NF, y_N)
    trained = train_task(task(walked(early), tmp_path))
    first = trained.folds[0]
    assert first.error == "79 training rows without both classes: nothing to learn"
    assert np.isnan(first.train_accuracy)
    assert first.base_rate == 1.0
    assert np.isnan(trained.p_N[:100]).all()
    assert not np.isnan(trained.p_N[100:]).any()
    assert f"fold 1: {first.error}" in trained.warnings


@pytest.mark.parametrize("file", ["mlp", "random_forest"])
def test_a_first_fold_without_any_decided_row_fails_alone(file: str, tmp_path: Path) -> None:
    rows = signal(200, seed=1)
    t1_N = np.where(np.arange(200) < 80, np.maximum(rows.t1_N, rows.t0_N[90]), rows.t1_N)
    open_rows = Samples(rows.x_NF, rows.y_N, rows.weight_N, rows.t0_N, t1_N, rows.names_F)
    changes: dict[str, Any] = {"max_epochs": 1} if file == "mlp" else {}
    trained = train_task(task(walked(open_rows), tmp_path, make_model(file, **changes)))
    assert trained.folds[0].n_train == 0
    assert trained.folds[0].error == "0 training rows without both classes: nothing to learn"
    assert [outcome.error for outcome in trained.folds[1:]] == [None] * 5


def failed(work: Task) -> Failure:
    training = Training(work)
    try:
        list(training.fits())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is asked about
        return training.failure(error)
    raise AssertionError


@pytest.mark.parametrize("number", [5, 6])
def test_without_validation_or_test_there_is_no_result(number: int, tmp_path: Path) -> None:
    Nearest.fails_at = frozenset({number})
    failure = failed(task(walked(noise(200, seed=1)), tmp_path))
    sentence = f"validation or test could not be predicted: fold {number}: fit {number} fails"
    assert failure.error == sentence
    assert not (tmp_path / "Nearest").exists()


def test_a_deployed_fit_that_fails_is_an_error(tmp_path: Path) -> None:
    Nearest.fails_at = frozenset({7})
    with pytest.raises(ModelError, match=r"^fit 7 fails$"):
        train_task(task(walked(noise(200, seed=1)), tmp_path))


def test_a_failure_names_its_fit_and_keeps_what_came_before(tmp_path: Path) -> None:
    Nearest.fails_at = frozenset({2, 7})
    failure = failed(task(walked(noise(200, seed=1)), tmp_path))
    assert failure.error == "final fit: fit 7 fails"
    assert failure.warnings[:3] == (
        "fold 1: 79 rows seen",
        "fold 1: exploding gradients: norm 11.0 above 10",
        "fold 2: fit 2 fails",
    )
    assert len(failure.warnings) == 2 * 5 + 1
    assert failure.cpu is not None
    assert failure.cpu.walk_forward > 0
    assert failure.cpu.fit > 0


def test_a_stopped_fit_keeps_the_warning_that_stopped_it(tmp_path: Path) -> None:
    class Stopped(Nearest):
        def _fit(self, *given: Any) -> Any:
            given[3].check_nan_loss(float("nan"), 4)
            return super()._fit(*given)

    failure = failed(task(walked(noise(200, seed=1)), tmp_path, Stopped()))
    assert failure.error == "fold 1: loss is nan at epoch 4: training ended"
    assert f"{failure.error}" in failure.warnings


def test_a_model_that_cannot_be_stored_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    failure = failed(task(walked(noise(200, seed=1)), tmp_path / "models", make_model("majority")))
    assert failure.error.startswith("saving: NotADirectoryError: ")


def test_what_is_told_of_a_fit_is_what_was_measured(tmp_path: Path) -> None:
    Nearest.fails_at = frozenset({2})
    work = task(walked(noise(200, seed=1)), tmp_path)
    *fits, trained = Training(work).fits()
    assert isinstance(trained, Trained)
    assert len(fits) == 7
    for fit, outcome, fold in zip(fits, trained.folds, work.split.folds, strict=False):
        assert isinstance(fit, FitEnded)
        assert (fit.n_train, fit.n_purged) == (outcome.n_train, outcome.n_purged)
        assert fit.error == outcome.error
        assert np.isnan(fit.accuracy) == np.isnan(fit.train_accuracy) == (fit.error is not None)
        if fit.error is None:
            hits_N = (outcome.p_N >= 0.5) == (noise(200, seed=1).y_N[fold.block] == 1)
            assert fit.accuracy == hits_N.mean()


def test_warnings_name_their_fit_in_one_line_each(tmp_path: Path) -> None:
    trained = train_task(task(walked(noise(200, seed=1)), tmp_path))
    n_rows = [79, 99, 119, 139, 159, 179, 200]
    keys = [*(f"fold {number}" for number in range(1, 7)), "final fit"]
    expected = []
    for number, (key, rows) in enumerate(zip(keys, n_rows, strict=True), start=1):
        expected.append(f"{key}: {rows} rows seen")
        expected.append(f"{key}: exploding gradients: norm {10 + number:.1f} above 10")
    assert list(trained.warnings) == expected


def test_each_fit_draws_from_a_generator_of_its_own() -> None:
    keys = [(7, "EURUSD", "MLP", "fold 1"), (7, "EURUSD", "MLP", "fold 2")]
    keys += [(7, "EURUSD", "LSTM", "fold 1"), (7, "GBPUSD", "MLP", "fold 1")]
    keys += [(8, "EURUSD", "MLP", "fold 1"), (7, "EURUSDM", "LP", "fold 1")]
    draws = [generator(*key).integers(2**63) for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [generator(*key).integers(2**63) for key in keys]


def test_the_run_repeats_and_another_seed_differs(tmp_path: Path) -> None:
    split = walked(signal(150, seed=1), n_blocks=2)

    def run(seed: int) -> Trained:
        forest = make_model("random_forest")
        return train_task(task(split, tmp_path / str(seed), forest, seed=seed))

    first, again, other = run(7), run(7), run(8)
    assert np.array_equal(first.p_N, again.p_N, equal_nan=True)
    assert not np.array_equal(first.p_N, other.p_N, equal_nan=True)
