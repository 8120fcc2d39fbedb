"""The bare loop: the fits and nothing else, one thread each, in a pool of processes.

Tensors are sliced instead of loaded; nothing is tracked and nothing is saved.

``python -m benchmarks.training.bare WORK FOUND PROCESSES`` reads the work from one file and writes
what it found to the other.
"""

import importlib
import json
import sys
import time
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.honesty.runner import one_core_pool
from benchmarks.training.nets import fitted_net
from benchmarks.training.trees import fitted_forest, fitted_xgboost
from benchmarks.training.work import MODELS, NETS, Fit, Fitted, Work, divided, fits, losses
from market.bars import FloatArray

LIBRARIES = ("sklearn.ensemble", "torch", "xgboost")


def fitted_model(work: Work, symbol: str, model: str) -> Fitted:
    """Make every fit of one model of one symbol, and predict its blocks."""
    split = divided(work, symbol)
    # Beforehand, so that no fit's time holds an import.
    for library in LIBRARIES:
        importlib.import_module(library)
    start_s = time.process_time()
    p_N = np.full(len(split.development), np.nan)
    rounds = []
    for number, fit in enumerate(fits(work, model, split)):
        p_N[fit.block], n_rounds = one_fit(fit, model, work, random_state=work.seed + number)
        rounds.append(n_rounds)
    cpu_s = time.process_time() - start_s
    out_of_fold, test = losses(split.development.y_N, p_N, split.test)
    return Fitted(symbol, model, out_of_fold, test, rounds, cpu_s)


def one_fit(fit: Fit, model: str, work: Work, *, random_state: int) -> tuple[FloatArray, int]:
    """Return the block's probabilities of winning, and the epochs, rounds or trees made."""
    own = work.models[model]
    if model in NETS:
        return fitted_net(model, fit, own, random_state)
    if model == "xgboost":
        return fitted_xgboost(fit, own, random_state)
    return fitted_forest(fit, own, random_state)


def main(work_path: str, found_path: str, n_processes: str) -> None:
    """Do the work; write what was found."""
    work = Work.read(Path(work_path))
    with one_core_pool(int(n_processes)) as pool:
        jobs = [
            pool.submit(fitted_model, work, symbol, model)
            for model in MODELS
            for symbol in work.symbols
        ]
        found = [asdict(job.result()) for job in as_completed(jobs)]
    Path(found_path).write_text(json.dumps({"fitted": found, "tracking_cpu_s": 0.0}))


if __name__ == "__main__":
    main(*sys.argv[1:])
