"""The paths on which a run spends its time, each beside a fixed piece of the same kind of work.

A baseline never calls code of ours: what it takes changes with the machine and the libraries
alone, so that the ratio of the two says what our code costs, wherever it is measured. Where a
library does the same work by itself, that is the baseline.

Axes: T bars, N rows, F features, K values.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.fixed_work import lagged, ranked, scanned, standardised
from benchmarks.training.nets import Standardised, module, slices, tensors, train
from benchmarks.training.trees import forest, mean_one, xgboost_parameters
from benchmarks.training.work import Fit
from market.samples import Samples
from market.splits import Split, WalkForward, early_stopping_tail
from models.base import Model
from models.monitor import TrainingMonitor

CONF = Path(__file__).parents[1] / "conf"
SEED = 4_011
HOUR = np.timedelta64(3_600_000_000, "us")
N_BARS, N_ROWS, N_FEATURES = 8_000, 600, 57
WALK_FORWARD_ROWS = 300
N_SYMBOLS, N_OUT_OF_FOLD = 100, 400
N_REPLAYED = 30_000
# Small enough that each path takes some hundredths of a second.
FOREST, XGBOOST, MLP, LSTM = (
    {"n_estimators": 25},
    {"n_estimators": 40, "early_stopping_rounds": None},
    {"max_epochs": 4, "patience": 100},
    {"max_epochs": 1, "patience": 100},
)


@dataclass(frozen=True, slots=True)
class HotPath:
    """A path of ours, ready to be called over and over, and its baseline."""

    ours: Callable[[], object]
    baseline: Callable[[], object]


def table_of_events() -> HotPath:
    """Features and labels from bars."""
    from market.build import build_event_table

    bars, made = _bars(), _definitions()

    def baseline() -> None:
        found_T = scanned(bars.close_T, 60)
        for back in range(1, N_FEATURES):
            found_T = standardised(found_T, back)

    return HotPath(lambda: build_event_table(bars, **made), baseline)


def labels() -> HotPath:
    """Triple-barrier labels of every bar, and their weights."""
    bars, made = _bars(), _definitions()
    atr_T = made["features"].state(bars).atr_T
    bar_N = np.arange(200, N_BARS)
    direction_N = np.where(bar_N % 2 == 0, 1, -1).astype(np.int8)

    def ours() -> None:
        for _ in range(4):
            made["labels"].label(bars, atr_T, bar_N, direction_N)

    def baseline() -> None:
        scanned(bars.close_T, 60)
        for back in range(1, 5):
            ranked(bars.close_T[back:])

    return HotPath(ours, baseline)


def evidence() -> HotPath:
    """Test the out-of-fold rows of a hundred symbols as the gate does."""
    from selection.evidence import evidence
    from selection.out_of_fold import OutOfFold

    rng = np.random.default_rng(SEED)
    rows = _samples(N_OUT_OF_FOLD)
    base_rate_N = np.full(len(rows), 0.5)
    block_N = np.arange(len(rows)) * 6 // len(rows)
    symbols = [
        OutOfFold(
            rows.y_N,
            rng.uniform(0.3, 0.7, len(rows)),
            base_rate_N,
            rows.t0_N,
            rows.t1_N,
            block_N,
        )
        for _ in range(N_SYMBOLS)
    ]
    return HotPath(
        lambda: [evidence(one) for one in symbols],
        lambda: [lagged(one.p_N) for one in symbols],
    )


def replay() -> HotPath:
    """Stop and target, then all rules at their defaults, from bars to tables of trades."""
    from benchmarks.replay.cases import case, walk
    from benchmarks.replay.contenders import assay_all_rules, assay_plain

    one = case("hot path", walk(N_REPLAYED))
    calls = [make(one).call for make in (assay_plain, assay_all_rules)]

    def baseline() -> None:
        scanned(one.bars.close_T, 60)
        for back in range(1, 10):
            standardised(one.bars.close_T, back)

    return HotPath(lambda: [call() for call in calls], baseline)


def mlp_fit() -> HotPath:
    """One MLP, beside the same epochs as PyTorch's manual writes them."""
    return _net_fit("mlp", MLP)


def lstm_fit() -> HotPath:
    """One LSTM, likewise."""
    return _net_fit("lstm", LSTM)


def mlp_walk_forward() -> HotPath:
    """All fits of an MLP's walk-forward, beside one after another as PyTorch's manual has it."""
    return _net_walk_forward("mlp", MLP | {"max_epochs": 2})


def lstm_walk_forward() -> HotPath:
    """All fits of an LSTM's walk-forward, likewise."""
    return _net_walk_forward("lstm", LSTM)


def forest_fit() -> HotPath:
    """One forest, beside scikit-learn's fit."""
    own = _hyperparameters("random_forest", FOREST)
    rows, model = _samples(N_ROWS), _model("random_forest", own)

    def baseline() -> None:
        classifier = forest(own, len(rows), SEED)
        classifier.fit(rows.x_NF, rows.y_N, sample_weight=mean_one(rows.weight_N))

    return HotPath(lambda: _fit(model, rows), baseline)


def xgboost_fit() -> HotPath:
    """One XGBoost, beside xgboost.train with nothing watched."""
    import xgboost

    own = _hyperparameters("xgboost", XGBOOST)
    rows, model = _samples(N_ROWS), _model("xgboost", own)
    parameters = xgboost_parameters(own) | {"nthread": 1, "seed": SEED}

    def baseline() -> None:
        matrix = xgboost.QuantileDMatrix(
            rows.x_NF, rows.y_N, weight=mean_one(rows.weight_N), nthread=1
        )
        xgboost.train(parameters, matrix, num_boost_round=own["n_estimators"])

    return HotPath(lambda: _fit(model, rows), baseline)


def forest_prediction() -> HotPath:
    """Ask a forest for many rows, beside scikit-learn's."""
    own = _hyperparameters("random_forest", FOREST)
    rows, model = _samples(N_ROWS), _model("random_forest", own)
    _fit(model, rows)
    classifier = forest(own, len(rows), SEED)
    classifier.fit(rows.x_NF, rows.y_N, sample_weight=mean_one(rows.weight_N))
    asked_NF = np.random.default_rng(SEED).normal(size=(5_000, N_FEATURES))
    return HotPath(
        lambda: model.predict_proba(asked_NF), lambda: classifier.predict_proba(asked_NF)
    )


def result_writing() -> HotPath:
    """Make results JSON-safe and write them, beside json.dumps and a file put in place."""
    from selection.atomic import write_json_atomically
    from selection.json_safe import to_json_safe

    result = _result()
    plain = json.loads(json.dumps(to_json_safe(result)))
    # In memory where there is such a folder: what a disk takes to be flushed is no cost of ours.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    inside = memory if memory.is_dir() else None
    folder = tempfile.TemporaryDirectory(prefix="hot-paths-", dir=inside)
    place, draft = Path(folder.name) / "result.json", Path(folder.name) / "draft.json"

    def ours() -> None:
        for _ in range(20):
            write_json_atomically(place, result)

    def baseline() -> None:
        for _ in range(20):
            with draft.open("w") as file:
                file.write(json.dumps(plain, indent=2))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(place)

    # The folder lasts as long as what writes to it.
    ours.folder = folder  # type: ignore[attr-defined]
    return HotPath(ours, baseline)


HOT_PATHS: Mapping[str, Callable[[], HotPath]] = {
    "table_of_events": table_of_events,
    "labels": labels,
    "evidence": evidence,
    "replay": replay,
    "mlp_fit": mlp_fit,
    "lstm_fit": lstm_fit,
    "mlp_walk_forward": mlp_walk_forward,
    "lstm_walk_forward": lstm_walk_forward,
    "forest_fit": forest_fit,
    "xgboost_fit": xgboost_fit,
    "forest_prediction": forest_prediction,
    "result_writing": result_writing,
}


def _net_fit(name: str, changes: Mapping[str, Any]) -> HotPath:
    own = _hyperparameters(name, changes)
    fitted, held = early_stopping_tail(_samples(N_ROWS), 0.15)
    model = _model(name, own)
    fit = Fit("fit", fitted, held, fitted.x_NF[:0], fitted.x_NF, slice(0, 0))
    return HotPath(lambda: _fit(model, fitted, held), lambda: _plain_net(name, own, fit))


def _net_walk_forward(name: str, changes: Mapping[str, Any]) -> HotPath:
    from training.engine import run_tasks

    own = _hyperparameters(name, changes)
    split = _split(WALK_FORWARD_ROWS)
    rows = split.development
    parts = [rows.take(fold.train_N) for fold in split.folds] + [rows]
    fits = [
        Fit("fit", *early_stopping_tail(part, 0.15), part.x_NF[:0], part.x_NF, slice(0, 0))
        for part in parts
    ]
    task = _task(_model(name, own), split)

    def baseline() -> None:
        for fit in fits:
            _plain_net(name, own, fit)

    return HotPath(lambda: list(run_tasks([task], 1)), baseline)


def _plain_net(name: str, own: Mapping[str, Any], fit: Fit) -> None:
    import torch

    torch.manual_seed(SEED)
    data = tensors(name, fit, own, Standardised(fit.train.x_NF))
    net = module(name, own, N_FEATURES)
    train(net, lambda: slices(data.fitted, own["batch_size"]), data.held, own)


def _task(model: Model, split: Split) -> Any:
    from augmentation import DataAugmenter
    from training.task import Task

    return Task(
        symbol="EURUSD",
        model=model,
        stronger=(),
        split=split,
        early_stopping_fraction=0.15,
        augmentation="none",
        new_augmenter=DataAugmenter,
        calibrates=False,
        new_monitor=TrainingMonitor,
        seed=SEED,
        folder=None,
    )


def _split(n_rows: int) -> Split:
    own = yaml.safe_load((CONF / "split" / "walk_forward.yaml").read_text())
    given = {key: own[key] for key in own if key != "kind"}
    split, _ = WalkForward(**given).divide(_samples(n_rows))
    return split


def _fit(model: Model, rows: Samples, held: Samples | None = None) -> None:
    model.fit(rows, held, rng=np.random.default_rng(SEED), monitor=TrainingMonitor())


def _model(name: str, own: Mapping[str, Any]) -> Model:
    from pipelines.sections import MODELS

    return MODELS[name](**own)


def _hyperparameters(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's configured hyperparameters, made small."""
    own: dict[str, Any] = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())
    return own | dict(changes)


def _samples(n_rows: int) -> Samples:
    rng = np.random.default_rng(SEED)
    x_NF = rng.normal(size=(n_rows, N_FEATURES))
    win_N = rng.random(n_rows) < 1 / (1 + np.exp(-0.5 * x_NF[:, 0]))
    t0_N = np.datetime64("2020-01-01", "us") + np.arange(n_rows) * 8 * HOUR
    return Samples(
        x_NF,
        win_N.astype(np.int64),
        rng.uniform(0.3, 1.0, n_rows),
        t0_N,
        t0_N + rng.integers(1, 48, n_rows) * HOUR,
        tuple(f"feature_{f}" for f in range(N_FEATURES)),
    )


@cache
def _bars() -> Any:
    from market.simulate import SimulatedMarket

    return SimulatedMarket(n_bars=N_BARS, edge=0.0).bars("EURUSD", SEED)


@cache
def _definitions() -> dict[str, Any]:
    from market.events import SmcEvents
    from market.features.smc import SmcFeatures
    from market.labels import TripleBarrier

    def given(path: str) -> dict[str, Any]:
        own = yaml.safe_load((CONF / path).read_text())
        return {key: own[key] for key in own if key != "kind"}

    return {
        "features": SmcFeatures(**given("features/smc.yaml")),
        "events": SmcEvents(**given("events/smc.yaml")),
        "labels": TripleBarrier(**given("labels/triple_barrier.yaml")),
    }


def _result() -> dict[str, Any]:
    """Return something like a training result, with what JSON does not know by itself."""
    rng = np.random.default_rng(SEED)
    return {
        "history": {f"figure_{k}": np.float64(rng.random()) for k in range(40)},
        "curves": {f"curve_{k}": rng.random(60).tolist() for k in range(5)},
        "feature_importance": [
            {"feature": f"feature_{f}", "importance": np.float64(rng.random())}
            for f in range(N_FEATURES)
        ],
        "confusion_matrix": rng.integers(0, 100, (2, 2)),
        "path": Path("models") / "EURUSD",
        "warnings": ["a sentence of some length about something that was met"] * 5,
    }
