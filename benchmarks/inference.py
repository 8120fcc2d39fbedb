"""Answers per second of deployed models, beside what the libraries themselves take.

``python -m benchmarks.inference`` fits every model of conf/ once on the same made-up rows, deploys
it as a run does, and asks `DeployedModels` for one row at a time and for many. Beside it, on the
same rows and in turn with it: scikit-learn's forest, XGBClassifier, the nets in PyTorch, and the
council as it was saved. One thread; `ratios` gives what can be compared between machines.

Axes: N rows, L steps of a window, F features.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from threadpoolctl import threadpool_limits

from benchmarks.training.trees import FOREST
from market.bars import FloatArray
from market.samples import Samples
from models.base import Model
from models.monitor import TrainingMonitor
from models.net_rows import padded, windows
from models.store import KINDS
from selection import DeployedModels, ModelSelector
from selection.atomic import write_json_atomically
from selection.manifest import store_artifacts
from training.onnx_form import write_onnx

OUT = Path("runs/bench/inference.json")
CONF = Path(__file__).parents[1] / "conf" / "model"
MODELS = {
    "random_forest": "RandomForest",
    "xgboost": "XGBoost",
    "mlp": "MLP",
    "lstm": "LSTM",
    "council": "Council",
}
# What a fit takes shortens it, not the answer: nets of few epochs, and all rounds of XGBoost.
CHANGES: Mapping[str, dict[str, Any]] = {
    "mlp": {"max_epochs": 2},
    "lstm": {"max_epochs": 1},
    "xgboost": {"early_stopping_rounds": None},
}
SEED, N_TRAIN, N_FEATURES, N_BATCH = 5_061, 2_000, 57, 16_384
MIN_SECONDS = 0.2

Answer = Callable[[FloatArray, FloatArray], Any]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers rows, given those before them."""

    what: str
    answer: Answer


def measured(*, n_rounds: int = 3, n_calls: int = 400) -> dict[str, Record]:
    """Fit, deploy and measure every model.

    Parameters
    ----------
    n_rounds : int
        Turns of Assay and its baseline; the best of each counts.
    n_calls : int
        Rows asked for one by one in a turn; a tenth of it where a call takes milliseconds.

    Returns
    -------
    dict
        By model: ``assay`` and ``baseline`` (each with ``p50_us`` and ``p99_us`` of one row and
        ``rows_per_s`` of many, and ``what`` it is), and ``ratios`` of time, Assay's over the
        baseline's: ``one_row`` and ``batch``.
    """
    rows = _made_up_rows(N_TRAIN)
    x_NF = np.random.default_rng(SEED + 1).normal(size=(N_BATCH, N_FEATURES))
    with threadpool_limits(1), tempfile.TemporaryDirectory(prefix="inference-") as name:
        import torch

        torch.set_num_threads(1)
        models = {file: _fitted(file, rows) for file in MODELS}
        deployed = _deployed(Path(name), models, rows)
        return {
            file: _compared(
                Contender("DeployedModels", _asking(deployed, file)),
                _baseline(file, models[file], rows),
                x_NF,
                n_rounds,
                n_calls,
            )
            for file in MODELS
        }


def ratios(records: Mapping[str, Record] | None = None) -> dict[str, float]:
    """Return all ratios of `measured`, done now if not given: ``lstm.one_row`` and so on."""
    return {
        f"{file}.{name}": ratio
        for file, record in (measured() if records is None else records).items()
        for name, ratio in record["ratios"].items()
    }


def table(records: Mapping[str, Record]) -> str:
    """Return what was measured as lines of text."""
    head = ("model", "one row, us: p50", "p99", "baseline", "batch, rows/s", "baseline", "times")
    lines = ["{:14} {:>17} {:>8} {:>10} {:>14} {:>12} {:>14}  {}".format(*head, "baseline is")]
    for file, record in records.items():
        ours, theirs, ratio = record["assay"], record["baseline"], record["ratios"]
        times = f"{1 / ratio['one_row']:.1f} and {1 / ratio['batch']:.1f}"
        lines.append(
            f"{file:14} {ours['p50_us']:17.1f} {ours['p99_us']:8.1f} {theirs['p50_us']:10.1f} "
            f"{ours['rows_per_s']:14,.0f} {theirs['rows_per_s']:12,.0f} {times:>14}  "
            f"{theirs['what']}"
        )
    return "\n".join(lines) + "\n"


def _made_up_rows(n_rows: int) -> Samples:
    rng = np.random.default_rng(SEED)
    x_NF = rng.normal(size=(n_rows, N_FEATURES))
    logit_N = x_NF[:, 0] + 0.5 * x_NF[:, 1] * x_NF[:, 2]
    hour = np.timedelta64(3_600_000_000, "us")
    t0_N = np.datetime64("2020-01-01", "us") + np.arange(n_rows) * hour
    return Samples(
        x_NF,
        (rng.random(n_rows) < 1 / (1 + np.exp(-logit_N))).astype(np.int64),
        np.ones(n_rows),
        t0_N,
        t0_N + hour,
        tuple(f"feature_{f}" for f in range(N_FEATURES)),
    )


def _fitted(file: str, rows: Samples) -> Model:
    conf = yaml.safe_load((CONF / f"{file}.yaml").read_text(encoding="utf-8"))
    model = KINDS[MODELS[file]](**{**conf, **CHANGES.get(file, {})})
    n_fit = int(0.85 * len(rows)) if model.stops_early(len(rows)) else len(rows)
    fit, held = rows.take(slice(0, n_fit)), rows.take(slice(n_fit, None))
    held_or_none = held if len(held) else None
    model.fit(fit, held_or_none, rng=np.random.default_rng(SEED), monitor=TrainingMonitor())
    return model


def _deployed(folder: Path, models: Mapping[str, Model], rows: Samples) -> DeployedModels:
    selections = {}
    for file, model in models.items():
        model.save(folder / "models" / file)
        onnx = write_onnx(folder / "models" / file, rows.x_NF)
        files = store_artifacts(folder / "models" / file, folder / "deploy", file, model.name)
        (path,) = (one["path"] for one in files if one["path"].endswith(onnx["path"]))
        selections[file] = {
            "selected_model": model.name,
            "reason": "measured",
            "test_accuracy": 0.5,
            "train_val_gap": 0.0,
            "alternatives": [],
            "artifacts": files,
            "onnx": {**onnx, "path": path},
        }
    manifest = folder / "deploy" / "manifest.json"
    ModelSelector().save_deployment_manifest(selections, manifest)
    return DeployedModels.from_manifest(manifest)


def _asking(deployed: DeployedModels, symbol: str) -> Answer:
    if deployed.lookback_rows(symbol):
        return lambda x_NF, before_NF: deployed.predict_proba(symbol, x_NF, before_NF)
    return lambda x_NF, _: deployed.predict_proba(symbol, x_NF)


def _baseline(file: str, model: Model, rows: Samples) -> Contender:
    if file == "random_forest":
        return _sklearn_forest(model, rows)
    if file == "xgboost":
        return _xgb_classifier(model, rows)
    if file in ("mlp", "lstm"):
        return _torch_net(model)
    return Contender("the model as saved", model.predict_proba)


def _sklearn_forest(model: Model, rows: Samples) -> Contender:
    from sklearn.ensemble import RandomForestClassifier

    named = {k: v for k, v in model.hyperparameters.items() if k in FOREST}
    forest = RandomForestClassifier(**named, n_jobs=1, random_state=0).fit(rows.x_NF, rows.y_N)
    return Contender("RandomForestClassifier", lambda x_NF, _: forest.predict_proba(x_NF))


def _xgb_classifier(model: Model, rows: Samples) -> Contender:
    from xgboost import XGBClassifier

    own = ("early_stopping_rounds", "early_stopping_min_rows")
    named = {k: v for k, v in model.hyperparameters.items() if k not in own}
    boosted = XGBClassifier(**named, n_jobs=1, random_state=0).fit(rows.x_NF, rows.y_N)
    return Contender("XGBClassifier", lambda x_NF, _: boosted.predict_proba(x_NF))


def _torch_net(model: Any) -> Contender:
    """Return what one would write by hand: scale, make a tensor, ask the net."""
    import torch

    net, scaler, steps = model._net, model._scaler, model.context_rows + 1

    def answer(x_NF: FloatArray, before_NF: FloatArray) -> Any:
        if steps > 1:
            x_NF = windows(padded(x_NF, before_NF, steps), steps)
        scaled = torch.from_numpy(scaler(x_NF).astype(np.float32))
        with torch.inference_mode():
            return torch.sigmoid(net(scaled)).numpy()

    return Contender("PyTorch", answer)


def _compared(
    ours: Contender, theirs: Contender, x_NF: FloatArray, n_rounds: int, n_calls: int
) -> Record:
    both = (ours, theirs)
    one_row: list[list[Record]] = [[], []]
    batch_s: list[list[float]] = [[], []]
    for _ in range(n_rounds):
        for one, latencies, seconds in zip(both, one_row, batch_s, strict=True):
            latencies.append(_one_by_one(one.answer, x_NF, n_calls))
            seconds.append(_at_once(one.answer, x_NF))
    made = [
        {
            "what": one.what,
            **min(latencies, key=lambda turn: float(turn["p50_us"])),
            "rows_per_s": len(x_NF) / min(seconds),
        }
        for one, latencies, seconds in zip(both, one_row, batch_s, strict=True)
    ]
    return {
        "assay": made[0],
        "baseline": made[1],
        "ratios": {
            "one_row": made[0]["p50_us"] / made[1]["p50_us"],
            "batch": min(batch_s[0]) / min(batch_s[1]),
        },
    }


def _one_by_one(answer: Answer, x_NF: FloatArray, n_calls: int) -> Record:
    """Return median and 99th percentile of single rows, each asked for with those before it."""
    before = 16
    start_s = time.perf_counter()
    for n in range(before, before + 10):
        answer(x_NF[n : n + 1], x_NF[n - before : n])
    if time.perf_counter() - start_s > 0.02:
        n_calls //= 10
    taken_us = []
    for n in range(before, before + n_calls):
        row_NF, before_NF = x_NF[n : n + 1], x_NF[n - before : n]
        start_ns = time.perf_counter_ns()
        answer(row_NF, before_NF)
        taken_us.append((time.perf_counter_ns() - start_ns) / 1e3)
    return {
        "p50_us": statistics.median(taken_us),
        "p99_us": float(np.percentile(taken_us, 99)),
    }


def _at_once(answer: Answer, x_NF: FloatArray) -> float:
    """Return the CPU seconds that all rows take."""
    before_NF = x_NF[:16]
    answer(x_NF, before_NF)
    n_times, start_s = 0, time.process_time()
    while n_times == 0 or time.process_time() - start_s < MIN_SECONDS:
        answer(x_NF, before_NF)
        n_times += 1
    return (time.process_time() - start_s) / n_times


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; the best counts")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    records = measured(n_rounds=given.rounds)
    write_json_atomically(given.out, {"models": records, "ratios": ratios(records)})
    sys.stdout.write(table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
