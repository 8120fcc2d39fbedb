"""Adaptive beside reference hyperparameters on the simulated market, whose truth is known.

``python -m benchmarks.regularisation run`` trains every model of a few symbols, with and without
an edge, on 300, 600 and 2,000 rows, through ``train_all``; ``report`` lays out per model the gap
between training and out-of-fold accuracy, the log-loss against no skill out of fold, and, on later
rows, the share of the attainable log-loss gain that the fitted model reaches.

Axes: N rows.
"""

import argparse
import contextlib
import io
import itertools
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty.runner import one_core_pool
from market.bars import FloatArray

OUT = Path("runs/regularisation")
RECORDS, PAGE = "records.jsonl", "regularisation.md"
EDGES = (0.15, 0.0)
SYMBOLS: dict[int, tuple[str, ...]] = {
    300: ("EURUSD", "GBPUSD", "XAUUSD"),
    600: ("EURUSD", "GBPUSD", "XAUUSD"),
    2000: ("EURUSD", "XAUUSD"),
}
RULES = ("adaptive", "reference")
SEED = 70_913
# Every 15th bar is an event, about.
BARS_PER_ROW, WARM_UP_BARS, FRESH_ROWS = 16, 1_500, 1_500
N_PATHS = 100

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One symbol, trained once."""

    edge: float
    n_rows: int
    symbol: str
    rule: str


def jobs() -> list[Job]:
    """Return all of them, the quick ones first."""
    return [
        Job(edge, n_rows, symbol, rule)
        for n_rows, symbols in SYMBOLS.items()
        for edge, symbol, rule in itertools.product(EDGES, symbols, RULES)
    ]


def trained(job: Job) -> list[Record]:
    """Train every model of a symbol on its first rows; return one record per model."""
    from pipelines.train_all import train_all

    conf = _configured(job.rule)
    with tempfile.TemporaryDirectory(prefix="regularisation-") as name:
        folder = Path(name)
        table, fresh_NF, truth_N = _market(job, conf)
        (folder / "data").mkdir()
        table.write_parquet(folder / "data" / f"{job.symbol}.parquet")
        conf |= {"output_dir": str(folder / "out"), "manifest": {"path": str(folder / "m.json")}}
        conf["data"] = {**conf["data"], "dir": str(folder / "data")}
        with contextlib.redirect_stdout(io.StringIO()):
            train_all(conf)
        files = sorted((folder / "out" / "results").glob("*.json"))
        results = [json.loads(file.read_text()) for file in files]
        return [
            {**asdict(job), **_measured(result, folder / "out" / "models", fresh_NF, truth_N)}
            for result in results
            if not result["null_model"]
        ]


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown: adaptive beside reference, means over symbols."""
    lines = [
        "| edge | rows | model | gap: adaptive | reference | log-loss gain out of fold: adaptive "
        "| reference | of the attainable gain, later rows: adaptive | reference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = sorted({(-one["edge"], one["n_rows"], one["model"]) for one in records})
    for edge, n_rows, model in keys:
        cell = [
            [
                one
                for one in records
                if (-one["edge"], one["n_rows"], one["model"], one["rule"])
                == (edge, n_rows, model, rule)
            ]
            for rule in RULES
        ]
        figures = [
            _mean(ones, name, form)
            for name, form in (("gap", ".3f"), ("gain_millinats", "+.1f"), ("attained", ".0%"))
            for ones in cell
        ]
        lines.append(f"| {-edge:g} | {n_rows} | {model} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _mean(records: Iterable[Mapping[str, Any]], name: str, form: str) -> str:
    values = [one[name] for one in records if one[name] is not None]
    return format(float(np.mean(values)), form) if values else ""


def _measured(
    result: Mapping[str, Any], models: Path, fresh_NF: FloatArray, truth_N: FloatArray
) -> Record:
    from models.store import load_model

    name = f"{result['symbol']}_{result['model_name']}"
    no_skill = result["no_skill"]["out_of_fold"]["log_loss"]
    rate_N = np.full(len(truth_N), truth_N.mean())
    p_N = load_model(models / name).predict_proba(fresh_NF)[:, 1]
    attainable = _expected_gain(truth_N, rate_N, truth_N)
    return {
        "model": result["model_name"],
        "gap": result["history"]["oof_gap"],
        "gain_millinats": 1000 * (no_skill - result["out_of_fold"]["log_loss"]),
        # Without an edge there is nothing to have a share of.
        "attained": (
            _expected_gain(p_N, rate_N, truth_N) / attainable if attainable > 0.005 else None
        ),
        "attainable_millinats": 1000 * attainable,
        "fresh_gain_millinats": 1000 * _expected_gain(p_N, rate_N, truth_N),
        "strength": result["strength"]["chosen"],
        "cpu_seconds": sum(result["cpu_seconds"].values()),
    }


def _expected_gain(p_N: FloatArray, rate_N: FloatArray, truth_N: FloatArray) -> float:
    p_N = np.clip(p_N, 1e-6, 1 - 1e-6)
    gain_N = truth_N * np.log(p_N / rate_N) + (1 - truth_N) * np.log((1 - p_N) / (1 - rate_N))
    return float(gain_N.mean())


def _market(job: Job, conf: Mapping[str, Any]) -> tuple[Any, FloatArray, FloatArray]:
    """Return a table of the first rows, and features and true win probabilities of later ones."""
    from market.build import build_event_table
    from market.events import SmcEvents
    from market.features.smc import SmcFeatures
    from market.labels import TripleBarrier
    from market.simulate import SimulatedMarket
    from market.truth import win_probability
    from pipelines.typed_conf import arguments

    features = SmcFeatures(**arguments(conf["features"]))
    events, labels = (
        SmcEvents(**arguments(conf["events"])),
        TripleBarrier(**arguments(conf["labels"])),
    )
    n_bars = WARM_UP_BARS + BARS_PER_ROW * (job.n_rows + FRESH_ROWS)
    simulation = SimulatedMarket(n_bars=n_bars, edge=job.edge).simulate(job.symbol, seed=SEED)
    table = build_event_table(simulation.bars, features=features, events=events, labels=labels)
    state = features.state(simulation.bars)
    bar_N, direction_N = events.find(state)
    # Later rows begin where the last label that is trained on has ended.
    last_end = table.t1_N[: job.n_rows].max()
    fresh = slice(int(np.searchsorted(table.t0_N, last_end)), len(bar_N))
    truth_N = win_probability(
        simulation,
        bar_N[fresh],
        direction_N[fresh],
        state.atr_T,
        profit_atr=labels.profit_atr,
        stop_atr=labels.stop_atr,
        max_bars=labels.max_bars,
        n_paths=N_PATHS,
        rng=np.random.default_rng(SEED),
    )
    return table.to_frame().head(job.n_rows), table.x_NF[fresh], np.clip(truth_N, 0.01, 0.99)


def _configured(rule: str) -> Record:
    return json.loads(_composed(rule))  # type: ignore[no-any-return]


@cache
def _composed(rule: str) -> str:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF

    overrides = ["data=table", "data.dir=given", "tracking=none", "execution.workers=1"]
    overrides += ["split.holdout_fraction=0", f"regularize={rule}"]
    if rule == "reference":
        overrides.append("augmentation=none")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        conf = compose("train_all", overrides)
    return json.dumps(OmegaConf.to_container(conf, resolve=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or report, as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regularisation")
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    path = given.out / RECORDS
    lines = path.read_text().splitlines() if path.exists() else []
    records: list[Record] = [json.loads(line) for line in lines]
    if given.command == "run":
        path.parent.mkdir(parents=True, exist_ok=True)
        done = {tuple(one[key] for key in asdict(jobs()[0])) for one in records}
        waiting = [job for job in jobs() if tuple(asdict(job).values()) not in done]
        with one_core_pool(given.workers) as pool:
            for number, ended in enumerate(
                as_completed(pool.submit(trained, j) for j in waiting), 1
            ):
                with path.open("a") as file:
                    file.writelines(json.dumps(one) + "\n" for one in ended.result())
                records += ended.result()
                sys.stdout.write(f"{number}/{len(waiting)}\n")
                sys.stdout.flush()
    (given.out / PAGE).write_text(page(records))
    sys.stdout.write(page(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
