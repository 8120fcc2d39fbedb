"""Tasks in this process and in workers."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import Model
from tests.models.planted import make_model, signal
from tests.training.spies import Dies, Nearest, Raises, Sleeps, task, walked
from training import engine
from training.engine import Finished, available_cores, run_tasks
from training.walk_forward import Task

SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"max_epochs": 3},
    "mlp": {"max_epochs": 3},
    "random_forest": {"n_estimators": 10, "max_samples": 0.3},
    "xgboost": {},
}


@pytest.fixture
def light_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LIBRARIES", ())


def small_task(model: Model, folder: Path, symbol: str = "EURUSD") -> Task:
    return task(walked(signal(120, seed=1), n_blocks=2), folder, model, symbol=symbol)


def finished(tasks: list[Task], n_workers: int) -> dict[tuple[str, str], Finished]:
    ended = list(run_tasks(tasks, n_workers))
    by_key = {(one.task.symbol, one.task.model.name): one for one in ended}
    assert len(by_key) == len(ended) == len(tasks)
    return by_key


def test_workers_and_this_process_give_equal_results_and_isolate_a_failure(
    tmp_path: Path,
) -> None:
    models = [make_model(file, **changes) for file, changes in SMALL.items()]
    runs = []
    for n_workers in (1, 2):
        folder = tmp_path / str(n_workers)
        tasks = [small_task(model, folder) for model in [Raises(), *models]]
        runs.append(finished(tasks, n_workers))
    serial, parallel = runs
    failed = parallel.pop(("EURUSD", "Raises"))
    assert serial.pop(("EURUSD", "Raises")).error == "ZeroDivisionError: two lines"
    assert (failed.error, failed.trained) == ("ZeroDivisionError: two lines", None)
    for key, alone in serial.items():
        assert alone.trained is not None, alone.error
        beside = parallel[key].trained
        assert beside is not None, parallel[key].error
        assert np.array_equal(alone.trained.p_N, beside.p_N, equal_nan=True), key
        assert alone.trained.importance == beside.importance
        assert alone.trained.final == beside.final
        files = [sorted((tmp_path / n / key[1]).iterdir()) for n in ("1", "2")]
        for one, other in zip(*files, strict=True):
            assert one.read_bytes() == other.read_bytes()
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("light_workers")
def test_a_worker_that_dies_is_its_own_tasks_failure_and_no_others(tmp_path: Path) -> None:
    symbols = ("GBPUSD", "USDJPY", "AUDUSD")
    tasks = [small_task(Nearest(), tmp_path, symbol) for symbol in symbols]
    tasks[1:1] = [small_task(Dies(), tmp_path), small_task(Dies(), tmp_path, "USDCAD")]
    ended = finished(tasks, 2)
    errors = {key: one.error for key, one in ended.items() if one.error}
    assert errors == dict.fromkeys([("EURUSD", "Dies"), ("USDCAD", "Dies")], engine.DIED)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("light_workers")
def test_closing_early_ends_the_workers(tmp_path: Path) -> None:
    # Larger than what a pipe holds: a sender that nobody reads from must not be waited for.
    large = walked(signal(5000, seed=1), n_blocks=2)
    tasks = [small_task(Nearest(), tmp_path)]
    tasks += [task(large, tmp_path, Sleeps(), symbol=symbol) for symbol in ("AUDUSD", "NZDUSD")]
    tasks += [small_task(Sleeps(), tmp_path, symbol) for symbol in ("GBPUSD", "USDJPY")]
    running = run_tasks(tasks, 2)
    assert next(running).task.model.name == "Nearest"
    assert len(multiprocessing.active_children()) == 2
    running.close()
    assert multiprocessing.active_children() == []


def test_the_longest_models_come_first(tmp_path: Path) -> None:
    names = ["Nearest", "XGBoost", "MLP", "RandomForest", "LSTM"]
    order = []
    for name in names:
        model = Nearest()
        model.name = name  # type: ignore[misc]
        order.append(small_task(model, tmp_path, symbol=name))
    ended = [one.task.symbol for one in run_tasks(order, 1)]
    assert ended == ["LSTM", "RandomForest", "MLP", "XGBoost", "Nearest"]


def test_one_worker_is_this_process_and_its_threads_are_given_back(tmp_path: Path) -> None:
    import torch

    seen: list[tuple[int, int]] = []

    class Here(Nearest):
        def _fit(self, *given: object) -> object:  # type: ignore[override]
            seen.append((os.getpid(), torch.get_num_threads()))
            return super()._fit(*given)  # type: ignore[arg-type]

    torch.set_num_threads(2)
    try:
        finished([small_task(Here(), tmp_path)], 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [(os.getpid(), 1)] * 3


def test_environment_variables_for_the_workers_do_not_stay() -> None:
    before = dict(os.environ)
    with engine._one_thread_per_child():
        assert {os.environ[name] for name in engine.THREAD_VARIABLES} == {"1"}
    assert dict(os.environ) == before


def test_no_tasks_are_no_work() -> None:
    assert list(run_tasks([], 1)) == []
    assert list(run_tasks([], 2)) == []


def test_the_cores_are_those_this_process_may_use() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
