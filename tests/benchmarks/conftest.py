"""Finished runs made by hand."""

import pytest

from benchmarks.honesty.grids import SYMBOLS


@pytest.fixture(scope="session")
def finished_run():
    """Return a factory of records; ``deployed`` holds printed and fresh accuracies."""

    def make(job, deployed=(), *, p_values=(), cpu_seconds=2.0):
        symbols = {}
        for number, symbol in enumerate(SYMBOLS):
            printed, fresh = deployed[number] if number < len(deployed) else (None, None)
            symbols[symbol] = {
                "selected_model": None if printed is None else "Council",
                "p_value": p_values[number] if number < len(p_values) else None,
                "printed_accuracy": printed,
                "log_loss_gain": None if printed is None else 0.01,
                "fresh_accuracy": fresh,
                "bayes_accuracy": 0.68,
            }
        return {
            "grid": job.grid,
            "cell": job.cell.name,
            "world": job.cell.world,
            "n_rows": job.cell.n_rows,
            "rule": job.cell.rule,
            "run": job.run,
            "seed": job.seed,
            "seconds": 3.0,
            "cpu_seconds": cpu_seconds,
            "fit_cpu_seconds": 1.0,
            "symbols": symbols,
        }

    return make
