"""Real bars whose labels are moved to other times: whatever is deployed then is deployed on noise.

``python -m benchmarks.shifted_labels run --data FOLDER`` takes the last events of the symbols of a
folder of price files, moves all labels of a symbol round by one large random number of rows, and
trains and certifies as ``train_all`` does, nets left out. The labels keep their own dependence,
the features theirs; only what ties one to the other is gone.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.honesty.report import Rate
from benchmarks.honesty.runner import one_core_pool

OUT, RECORDS = Path("runs/shifted_labels"), "records.jsonl"
OVERRIDES = ("~models.mlp", "~models.lstm", "tracking=none", "execution.workers=1")
SYMBOLS = "[AUDUSD,EURGBP,EURJPY,EURUSD,GBPJPY,GBPUSD,NZDUSD,USDCAD,USDCHF,USDJPY,XAUUSD]"
SEED, N_EVENTS, LEAST_SHIFT, TREES = 88_211, 1_500, 300, 50

Record = dict[str, Any]


def shifted(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the last decided events with their labels moved round, at least 300 rows away."""
    decided = table.filter(pl.col("label").is_not_null()).tail(N_EVENTS)
    n_rows = len(decided)
    shift = int(rng.integers(LEAST_SHIFT, n_rows - LEAST_SHIFT))
    return decided.with_columns(label=pl.Series(np.roll(decided["label"].to_numpy(), shift)))


def shifted_run(tables: Path, run: int) -> Record:
    """Train and certify every symbol on moved labels; return which were deployed."""
    from pipelines.train_all import train_all

    with tempfile.TemporaryDirectory(prefix="shifted-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        for file in sorted(tables.glob("*.parquet")):
            rng = np.random.default_rng([SEED, run, *file.stem.encode()])
            shifted(pl.read_parquet(file), rng).write_parquet(folder / "data" / file.name)
        conf = _composed("data=table", f"data.dir={folder}/data", *OVERRIDES)
        conf["models"]["random_forest"]["n_estimators"] = TREES
        conf |= {"seed": run, "output_dir": str(folder / "out")}
        conf["manifest"]["path"] = str(folder / "m.json")
        with contextlib.redirect_stdout(io.StringIO()):
            train_all(conf)
        selections = json.loads((folder / "m.json").read_text())["selections"]
    evidence = {name: one["evidence"] for name, one in selections.items() if one["evidence"]}
    return {
        "run": run,
        "symbols": len(selections),
        "deployed": [name for name, one in selections.items() if one["selected_model"]],
        "p_values": {name: one["p_value"] for name, one in evidence.items()},
    }


def page(records: Sequence[Record]) -> str:
    """Return what came of all runs, in one sentence."""
    rate = Rate(sum(bool(one["deployed"]) for one in records), len(records))
    low, high = rate.interval
    p_values = [p for one in records for p in one["p_values"].values()]
    small = sum(p < 0.05 for p in p_values) / len(p_values) if p_values else float("nan")
    return (
        f"{rate.hits} of {rate.n} runs deployed anything (95% interval {low:.1%} to {high:.1%}); "
        f"{small:.1%} of {len(p_values)} councils had p below 0.05\n"
    )


def _composed(*overrides: str, name: str = "train_all") -> Record:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        conf = compose(name, list(overrides))
    return OmegaConf.to_container(conf, resolve=True)  # type: ignore[return-value]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or report, as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shifted_labels")
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--data", type=Path, help="folder of price files, for run")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    path = given.out / RECORDS
    lines = path.read_text().splitlines() if path.exists() else []
    records: list[Record] = [json.loads(line) for line in lines]
    if given.command == "run":
        if given.data is None:
            parser.error("run needs --data FOLDER")
        records += _run_all(given, {one["run"] for one in records}, path)
    sys.stdout.write(page(records))
    return 0


def _run_all(given: argparse.Namespace, done: set[int], path: Path) -> list[Record]:
    from pipelines.features import write_features

    tables = given.out / "tables"
    if not tables.exists():
        places = (f"data.dir={given.data}", f"features_dir={tables}", f"symbols={SYMBOLS}")
        write_features(_composed("data=bars", *places, name="features"))
    records = []
    waiting = [run for run in range(given.runs) if run not in done]
    with one_core_pool(given.workers) as pool:
        futures = [pool.submit(partial(shifted_run, tables), run) for run in waiting]
        for number, ended in enumerate(as_completed(futures), start=1):
            records.append(ended.result())
            with path.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
            sys.stdout.write(f"{number}/{len(waiting)}: {records[-1]['deployed'] or 'nothing'}\n")
            sys.stdout.flush()
    return records


if __name__ == "__main__":
    sys.exit(main())
