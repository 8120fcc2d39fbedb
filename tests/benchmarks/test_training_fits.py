"""The loops that Assay is held against make the fits that Assay makes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.training.bare import fitted_model, one_fit
from benchmarks.training.nets import module, windows
from benchmarks.training.work import FINAL, MODELS, NETS, Work, configured, divided, fits
from market.samples import uniqueness
from models.monitor import TrainingMonitor
from tests.models.planted import shipped_model
from tests.training.spies import Nearest, task, train_task

SEED, N_ROWS = 11, 400
SMALL = {
    "random_forest": {"n_estimators": 20},
    "xgboost": {"n_estimators": 30, "early_stopping_min_rows": 200},
    "mlp": {"hidden": [8, 4]},
    "lstm": {"hidden": 4, "lookback": 3},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Work:
    """400 rows of one symbol with a signal, labels that overlap, and small models."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(3)
    x_NF = rng.normal(size=(N_ROWS, 5))
    start_N = np.arange(N_ROWS) * 4.0
    end_N = start_N + rng.integers(1, 12, N_ROWS)
    since = np.datetime64("2021-03-01", "us")
    hour = np.timedelta64(3_600_000_000, "us")
    frame = pl.DataFrame(
        {
            "timestamp": since + start_N.astype(int) * hour,
            **{f"feature_{f}": x_NF[:, f] for f in range(5)},
            "label": (rng.random(N_ROWS) < 1 / (1 + np.exp(-2 * x_NF[:, 0]))).astype(int),
            "label_end": since + end_N.astype(int) * hour,
            "weight": uniqueness(start_N, end_N),
        }
    )
    frame.write_parquet(folder / "EURUSD.parquet")
    overrides = ["data=table", "data.dir=given", "split.min_development_rows=300"]
    whole = configured(folder, {"EURUSD": "digest"}, overrides, max_epochs=3)
    return replace(whole, models={name: whole.models[name] | SMALL[name] for name in MODELS})


@pytest.mark.parametrize("holds_back", [False, True])
def test_every_fit_has_the_rows_that_training_gives_it(work, tmp_path, holds_back):
    split = divided(work, "EURUSD")
    Nearest.seen.clear()
    train_task(task(split, tmp_path, Nearest(holds_back=holds_back)))
    ours = list(fits(work, "mlp" if holds_back else "random_forest", split))
    assert len(ours) == len(Nearest.seen) == 7
    for fit, (train, tail, _) in zip(ours, Nearest.seen, strict=True):
        assert fit.train.digest() == train.digest()
        assert (fit.tail is None) == (tail is None) == (not holds_back)
        assert tail is None or fit.tail.digest() == tail.digest()


@pytest.mark.parametrize("name", MODELS)
def test_a_tail_is_held_back_where_the_model_asks_for_one(work, name):
    split = divided(work, "EURUSD")
    model = shipped_model(name, **SMALL[name])
    wanted = [len(fold.train_N) for fold in split.folds] + [len(split.development)]
    asks = [model.stops_early(n_rows) for n_rows in wanted]
    assert [fit.tail is not None for fit in fits(work, name, split)] == asks
    assert name in NETS or len(set(asks)) == (2 if name == "xgboost" else 1)


def test_the_holdout_is_left_out_and_every_block_is_predicted_once(work):
    split = divided(work, "EURUSD")
    assert len(split.development) < N_ROWS * 0.86
    *folds, last = fits(work, "random_forest", split)
    predicted = np.concatenate([np.arange(fit.block.start, fit.block.stop) for fit in folds])
    assert predicted.tolist() == list(range(predicted[0], len(split.development)))
    assert last.name == FINAL
    assert len(last.block_NF) == 0


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_from_the_same_seed_trees_answer_as_ours_do(work, name):
    model = shipped_model(name, **SMALL[name])
    for fit in fits(work, name, divided(work, "EURUSD")):
        if fit.name == FINAL:
            continue
        rng = np.random.default_rng(SEED)
        model.fit(fit.train, fit.tail, rng=rng, monitor=TrainingMonitor())
        drawn = int(np.random.default_rng(SEED).integers(2**31))
        p_N, _ = one_fit(fit, name, work, random_state=drawn)
        assert p_N == pytest.approx(model.predict_proba(fit.block_NF)[:, 1], abs=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_a_net_learns_what_ours_learns(work, name):
    work = replace(work, models={name: {**work.models[name], "max_epochs": 40, "batch_size": 16}})
    work = replace(work, models={name: {**work.models[name], "learning_rate": 0.01, "dropout": 0}})
    fit = list(fits(work, name, divided(work, "EURUSD")))[-2]
    model = shipped_model(name, **work.models[name])
    model.fit(fit.train, fit.tail, rng=np.random.default_rng(SEED), monitor=TrainingMonitor())
    p_N, n_epochs = one_fit(fit, name, work, random_state=SEED)
    ours_N = model.predict_proba(fit.block_NF, fit.before_NF)[:, 1]
    assert 1 < n_epochs <= 40
    assert np.corrcoef(p_N, ours_N)[0, 1] > 0.8
    assert p_N.std() > 0.1


def test_a_net_has_the_configured_widths_and_never_more_than_the_configured_epochs(work):
    own = work.models["mlp"]
    shapes = [tuple(one.shape) for one in module("mlp", own, 5).parameters()]
    assert shapes == [(8, 5), (8,), (4, 8), (4,), (1, 4), (1,)]
    assert module("lstm", work.models["lstm"], 5).lstm.weight_hh_l0.shape == (16, 4)
    assert own["max_epochs"] == 3
    assert set(fitted_model(work, "EURUSD", "mlp").rounds) <= {1, 2, 3}


def test_a_window_ends_with_its_row_and_starts_with_the_first_where_too_few_are_before():
    x_NF, before_NF = np.array([[3.0], [4.0]]), np.array([[0.0], [1.0], [2.0]])
    assert windows(x_NF, before_NF, 3)[..., 0].tolist() == [[1, 2, 3], [2, 3, 4]]
    assert windows(x_NF, before_NF[:0], 3)[..., 0].tolist() == [[3, 3, 3], [3, 3, 4]]


def test_losses_are_those_of_the_rows_that_were_predicted(work):
    found = fitted_model(work, "EURUSD", "random_forest")
    assert len(found.rounds) == 7
    assert set(found.rounds) == {20}
    assert 0.3 < found.out_of_fold < 0.69
    assert found.test != found.out_of_fold
