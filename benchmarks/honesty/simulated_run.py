"""One run of 11 simulated symbols through the pipeline's own code, and what came of it.

Axes: N rows.
"""

import contextlib
import copy
import io
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty.grids import COMMON_OVERRIDES, RULES, SYMBOLS, Job
from benchmarks.honesty.worlds import SimulatedSymbol, simulated
from selection import DeployedModels

Record = dict[str, Any]


class RunError(RuntimeError):
    """A simulated run that did not train everything; the message ends with what it said."""


def simulated_run(job: Job) -> Record:
    """Draw 11 symbols, train and certify them as ``train_all`` does, and measure the outcome.

    Returns
    -------
    dict
        What the job is known by, wall and CPU seconds (``fit_cpu_seconds``: of the models' fits
        alone), and by symbol ``selected_model``, ``p_value``, ``printed_accuracy``,
        ``log_loss_gain`` (out of fold, of the tested model or else the deployed one, over no
        skill; nats per row), ``fresh_accuracy`` (expected,
        from the true probabilities) and ``bayes_accuracy`` (attainable on the same rows).

    Raises
    ------
    RunError
        If nothing could be trained.
    """
    wall_s, cpu_s = time.monotonic(), time.process_time()
    *symbol_rngs, run_rng = job.generators()
    drawn = {
        symbol: simulated(job.cell.world, rng, job.cell.n_rows)
        for symbol, rng in zip(SYMBOLS, symbol_rngs, strict=True)
    }
    with tempfile.TemporaryDirectory(prefix="honesty-") as name:
        folder = Path(name)
        conf = _configured(folder, job.cell.rule, int(run_rng.integers(2**31)))
        _write_tables(drawn, folder / "data")
        _train(conf, job)
        manifest = folder / "deploy" / "manifest.json"
        timings = json.loads((folder / "out" / "run.json").read_text())["timings"]
        symbols = measured(DeployedModels.from_manifest(manifest), drawn)
    parts = timings["cpu_seconds"]
    return {
        "grid": job.grid,
        "cell": job.cell.name,
        "world": job.cell.world,
        "n_rows": job.cell.n_rows,
        "rule": job.cell.rule,
        "run": job.run,
        "seed": job.seed,
        "seconds": round(time.monotonic() - wall_s, 3),
        "cpu_seconds": round(time.process_time() - cpu_s, 3),
        "fit_cpu_seconds": round(parts["fit"] + parts["walk_forward"] + parts["augmentation"], 3),
        "symbols": symbols,
    }


def measured(deployed: DeployedModels, drawn: Mapping[str, SimulatedSymbol]) -> dict[str, Record]:
    """Return what a manifest says of each symbol, beside the truth."""
    return {symbol: _measured(deployed, symbol, one) for symbol, one in drawn.items()}


def expected_accuracy(p_N: np.ndarray[Any, Any], answer_N: np.ndarray[Any, Any]) -> float:
    """Return the expected accuracy of answers (True: a win), given the true probabilities."""
    return float(np.where(answer_N, p_N, 1 - p_N).mean())


def _measured(deployed: DeployedModels, symbol: str, one: SimulatedSymbol) -> Record:
    selection = deployed.selection(symbol)
    evidence, printed = selection.get("evidence") or {}, selection.get("out_of_fold")
    record: Record = {
        "selected_model": selection["selected_model"],
        "p_value": evidence.get("p_value"),
        "printed_accuracy": None,
        "log_loss_gain": evidence.get("log_loss_gain"),
        "fresh_accuracy": None,
        "bayes_accuracy": one.bayes_accuracy,
    }
    if printed is not None:
        record["printed_accuracy"] = printed["accuracy"]
        if record["log_loss_gain"] is None:
            record["log_loss_gain"] = printed["no_skill"]["log_loss"] - printed["log_loss"]
    if selection["selected_model"] is not None:
        x_NF, fresh = one.drawn.x_NF, one.fresh
        p_win_N = deployed.predict_proba(symbol, x_NF[fresh], x_NF[: fresh.start])[:, 1]
        # As the printed accuracy counts a win, wherever it would be worth a trade.
        record["fresh_accuracy"] = expected_accuracy(one.drawn.p_N[fresh], p_win_N >= 0.5)
    return record


def _write_tables(drawn: Mapping[str, SimulatedSymbol], folder: Path) -> None:
    folder.mkdir()
    for symbol, one in drawn.items():
        one.table(symbol).write_parquet(folder / f"{symbol}.parquet")


def _train(conf: Record, job: Job) -> None:
    """Train and certify; what is printed and logged is kept for the case that nothing trains.

    A symbol whose rows hold one class only cannot be trained, and counts as not deployed.
    """
    from pipelines.command import ALL_TRAINED, SOME_FAILED
    from pipelines.train_all import train_all

    with _kept() as said:
        code = train_all(conf)
    if code not in (ALL_TRAINED, SOME_FAILED):
        raise RunError(f"ended with exit code {code}: {_gravest(said.getvalue())}")


def _gravest(said: str) -> str:
    """Return the lines that tell of a failure, or where there is none the last ones."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    failures = [line for line in lines if "failed" in line or "error" in line.lower()]
    return " / ".join(failures or lines[-5:])


@contextlib.contextmanager
def _kept() -> Iterator[io.StringIO]:
    """Take in all that this process prints and logs."""
    said = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(said)
    root.addHandler(handler)
    try:
        with contextlib.redirect_stdout(said):
            yield said
    finally:
        root.removeHandler(handler)


def _configured(folder: Path, rule: str, seed: int) -> Record:
    """Return the configuration of a rule, all its places in a folder."""
    conf = copy.deepcopy(_composed(rule))
    conf["data"]["dir"] = str(folder / "data")
    conf["output_dir"] = str(folder / "out")
    conf["manifest"]["path"] = str(folder / "deploy" / "manifest.json")
    conf["seed"] = seed
    return conf


@cache
def _composed(rule: str) -> Record:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF

    overrides = [*COMMON_OVERRIDES, "data.dir=given", *RULES[rule]]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        conf = compose("train_all", overrides)
    plain: Record = OmegaConf.to_container(conf, resolve=True)  # type: ignore[assignment]
    return plain
