"""Tasks in this process and in workers."""

import ctypes
import itertools
import multiprocessing
import os
import signal as signals
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from models.base import Model
from tests.models.planted import make_model, signal
from tests.training.spies import (
    Believer,
    Dies,
    DiesOnce,
    FillsTheDisk,
    Nearest,
    Raises,
    Sleeps,
    Takes,
    task,
    walked,
)
from training import engine, pool, processes
from training.engine import Event, Finished, Step, available_cores, run_tasks
from training.task import Failure, Keeping, Task, Trained

SMALL: dict[str, dict[str, Any]] = {
    "council": {"n_estimators": 10},
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
    ended = [one for one in run_tasks(tasks, n_workers) if isinstance(one, Finished)]
    by_key = {(one.task.symbol, one.task.model.name): one for one in ended}
    assert len(by_key) == len(ended) == len(tasks)
    return by_key


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the files of a folder by their place in it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def error_of(one: Finished) -> str | None:
    return one.outcome.error if isinstance(one.outcome, Failure) else None


def told(events: list[Event], symbol: str) -> list[Any]:
    """Return what came of one task: steps as (done, of, name of the fit), then its end."""
    return [
        (one.n_done, one.n_fits, one.ended.name if one.ended else None)
        if isinstance(one, Step)
        else error_of(one)
        for one in events
        if one.task.symbol == symbol
    ]


def test_workers_and_this_process_give_equal_results_and_isolate_a_failure(
    tmp_path: Path,
) -> None:
    models = [make_model(file, **changes) for file, changes in SMALL.items()]
    runs = []
    for n_workers in (1, 2):
        folder = tmp_path / str(n_workers)
        tasks = [small_task(model, folder) for model in [Raises(), *models]]
        tasks = [replace(one, augmentation="adaptive", calibrates=True) for one in tasks]
        runs.append(finished(tasks, n_workers))
    serial, parallel = runs
    for run in runs:
        assert error_of(run.pop(("EURUSD", "Raises"))) == "fold 1: ZeroDivisionError: two lines"
    for key, alone in serial.items():
        one, beside = alone.outcome, parallel[key].outcome
        assert isinstance(one, Trained), one
        assert isinstance(beside, Trained), beside
        assert np.array_equal(one.p_N, beside.p_N, equal_nan=True), key
        assert one.importance == beside.importance
        assert one.final == beside.final
        assert one.augmentation == beside.augmentation is not None
        assert one.calibrated is not None
        assert beside.calibrated is not None
        assert np.array_equal(one.calibrated.p_N, beside.calibrated.p_N)
        assert contents(tmp_path / "1" / key[1]) == contents(tmp_path / "2" / key[1])
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("light_workers")
def test_a_worker_that_dies_is_its_own_tasks_failure_and_no_others(tmp_path: Path) -> None:
    symbols = ("GBPUSD", "USDJPY", "AUDUSD")
    tasks = [small_task(Nearest(), tmp_path, symbol) for symbol in symbols]
    tasks[1:1] = [small_task(Dies(), tmp_path), small_task(Dies(), tmp_path, "USDCAD")]
    ended = finished(tasks, 2)
    errors = {key: error_of(one) for key, one in ended.items() if isinstance(one.outcome, Failure)}
    sentence = f"fold 1: {pool.DIED}, twice"
    assert errors == dict.fromkeys([("EURUSD", "Dies"), ("USDCAD", "Dies")], sentence)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("light_workers")
def test_closing_early_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.FIT_SECONDS, "Nearest", 100.0)
    monkeypatch.setattr(engine, "OTHER_FIT_SECONDS", 1.0)
    # Larger than what a pipe holds: a sender that nobody reads from must not be waited for.
    large = walked(signal(5000, seed=1), n_blocks=2)
    tasks = [small_task(Nearest(), tmp_path)]
    tasks += [task(large, tmp_path, Sleeps(), symbol=symbol) for symbol in ("AUDUSD", "NZDUSD")]
    tasks += [small_task(Sleeps(), tmp_path, symbol) for symbol in ("GBPUSD", "USDJPY")]
    running = run_tasks(tasks, 2)
    first = next(one for one in running if isinstance(one, Finished))
    assert first.task.model.name == "Nearest"
    assert len(multiprocessing.active_children()) == 2
    running.close()
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("light_workers")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_each_task_tells_its_beginning_its_fits_and_its_end_in_order(
    n_workers: int, tmp_path: Path
) -> None:
    symbols = ("GBPUSD", "USDJPY", "AUDUSD")
    events = list(
        run_tasks([small_task(Nearest(), tmp_path, symbol) for symbol in symbols], n_workers)
    )
    steps = [(0, 3, None), (1, 3, "fold 1"), (2, 3, "fold 2"), (3, 3, "final fit")]
    for symbol in symbols:
        assert told(events, symbol) == [*steps, None]
    if n_workers == 1:
        assert [one.task.symbol for one in events] == [name for name in symbols for _ in range(5)]


def test_a_task_with_everything_to_choose_tells_all_its_fits(tmp_path: Path) -> None:
    work = small_task(Believer(belief=2.0), tmp_path)
    open_work = replace(work, stronger=(Believer(belief=0.1),), augmentation="adaptive")
    events = list(run_tasks([open_work], 1))
    tries = ["fold 1", "fold 1 step 1", "fold 1 augmented"]
    tries += ["fold 2", "fold 2 step 1", "fold 2 augmented", "final fit"]
    steps = [(number, 7, name) for number, name in enumerate(tries, start=1)]
    assert told(events, "EURUSD") == [(0, 7, None), *steps, None]


@pytest.mark.usefixtures("light_workers")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_warnings_come_with_the_fit_they_are_of(n_workers: int, tmp_path: Path) -> None:
    tasks = [small_task(Nearest(), tmp_path)]
    events = list(run_tasks([*tasks, small_task(Raises(), tmp_path, "GBPUSD")], n_workers))
    fits = [one.ended for one in events if isinstance(one, Step) and one.ended]
    ends = [one.outcome for one in events if isinstance(one, Finished)]
    ends = [one for one in ends if isinstance(one, Trained)]
    assert [fit.warnings[0] for fit in fits] == [
        "fold 1: 47 rows seen",
        "fold 2: 83 rows seen",
        "final fit: 120 rows seen",
    ]
    assert ends[0].warnings == tuple(sentence for fit in fits for sentence in fit.warnings)
    assert ends[0].duration_s >= sum(fit.wall_s for fit in fits) > 0


@pytest.mark.usefixtures("light_workers")
def test_a_worker_that_dies_later_leaves_what_it_told(tmp_path: Path) -> None:
    tasks = [small_task(Dies(after_fits=fits), tmp_path, str(fits)) for fits in (1, 2)]
    events = list(run_tasks(tasks, 2))
    steps = [(0, 3, None), (1, 3, "fold 1")]
    assert told(events, "1") == [*steps, *steps, f"fold 2: {pool.DIED}, twice"]
    assert told(events, "2")[-2:] == [(2, 3, "fold 2"), f"final fit: {pool.DIED}, twice"]
    end = next(one for one in events if isinstance(one, Finished) and one.task.symbol == "2")
    assert isinstance(end.outcome, Failure)
    fits = [sentence.partition(":")[0] for sentence in end.outcome.warnings]
    assert fits == ["fold 1", "fold 1", "fold 2", "fold 2"]
    assert end.outcome.cpu is None
    assert end.outcome.duration_s > 0


@pytest.mark.usefixtures("light_workers")
def test_a_task_whose_worker_died_goes_on_where_it_was_when_all_others_have_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mortal = small_task(DiesOnce(mark=str(tmp_path / "died")), tmp_path)
    mortal = replace(mortal, keeping=Keeping(tmp_path / "units", "0" * 64))
    others = [small_task(Nearest(), tmp_path, symbol) for symbol in ("GBPUSD", "USDJPY")]
    events = list(run_tasks([mortal, *others], 2))
    steps = [one.ended for one in events if isinstance(one, Step) and one.task.symbol == "EURUSD"]
    kept = [(fit.name, fit.was_kept) for fit in steps if fit is not None]
    assert kept == [("fold 1", False), ("fold 1", True), ("fold 2", False), ("final fit", False)]
    assert isinstance(events[-1], Finished)
    assert events[-1].task.symbol == "EURUSD"
    assert isinstance(events[-1].outcome, Trained)
    assert "EURUSD DiesOnce: fold 2: the worker process died" in caplog.text
    assert "it is tried once more, alone, after the others" in caplog.text


@pytest.mark.usefixtures("light_workers")
def test_a_fit_that_wants_more_memory_than_a_worker_may_take_fails_alone(tmp_path: Path) -> None:
    tasks = [small_task(Takes(megabytes=mb), tmp_path, str(mb)) for mb in (1, 400)]
    ended = {
        one.task.symbol: one.outcome
        for one in run_tasks(tasks, 2, memory_limit_bytes=350_000_000)
        if isinstance(one, Finished)
    }
    assert isinstance(ended["1"], Trained)
    assert isinstance(ended["400"], Failure)
    assert ended["400"].error == (
        "fold 1: its worker wanted more than 350 MB of memory (execution.memory_limit)"
    )
    assert not ended["400"].repeats


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.usefixtures("light_workers")
def test_a_disk_that_takes_no_more_ends_everything_with_its_own_words(
    n_workers: int, tmp_path: Path
) -> None:
    tasks = [small_task(FillsTheDisk(), tmp_path), small_task(Nearest(), tmp_path)]
    with pytest.raises(OSError, match="No space left on device: 'units/a'"):
        list(run_tasks(tasks, n_workers))
    assert multiprocessing.active_children() == []


def busy_parent(folder: Path) -> None:
    list(run_tasks([small_task(Sleeps(mark=str(folder / "begun")), folder)] * 2, 2))


@pytest.mark.skipif(not hasattr(signals, "SIGKILL"), reason="nothing is killed so elsewhere")
def test_workers_end_with_the_process_they_work_for_however_it_ends(tmp_path: Path) -> None:
    parent = multiprocessing.get_context("spawn").Process(target=busy_parent, args=(tmp_path,))
    parent.start()
    begun = tmp_path / "begun"
    while not (begun.exists() and begun.read_text()):
        assert parent.is_alive()
        time.sleep(0.02)
    worker = int(begun.read_text())
    assert parent.pid is not None
    os.kill(parent.pid, signals.SIGKILL)
    parent.join()
    for _ in range(500):
        if not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie":
            return
        time.sleep(0.02)
    raise AssertionError(worker)


@pytest.mark.usefixtures("light_workers")
def test_a_process_that_dies_before_it_begins_is_no_fits_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LIBRARIES", ("no_such_library",))
    ended = finished([small_task(Nearest(), tmp_path), small_task(Dies(), tmp_path)], 2)
    assert {error_of(one) for one in ended.values()} == {f"{pool.DIED}, twice"}


@pytest.mark.usefixtures("light_workers")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_failed_task_keeps_its_warnings_and_what_it_cost(n_workers: int, tmp_path: Path) -> None:
    tasks = [small_task(Raises(), tmp_path), small_task(Nearest(), tmp_path)]
    failure = finished(tasks, n_workers)["EURUSD", "Raises"].outcome
    assert isinstance(failure, Failure)
    assert failure.warnings == ("fold 1: cannot divide",)
    assert failure.cpu is not None
    assert failure.cpu.walk_forward > 0
    assert failure.cpu.fit == failure.cpu.augmentation == 0
    assert failure.duration_s > 0


@pytest.mark.usefixtures("light_workers")
def test_every_fit_is_told_to_whoever_asks_for_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="training.engine"):
        finished([small_task(Nearest(), tmp_path)], 2)
    first, second, final = caplog.messages
    assert first.startswith("EURUSD Nearest fold 1: 47 rows, 1 purged, ")
    assert "accuracy 1.000 in training, " in second
    assert final.endswith("accuracy 1.000 in training")


def test_the_longest_models_come_first_but_for_those_quicker_trained_than_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = {name: 1000 * seconds for name, seconds in engine.FIT_SECONDS.items()}
    monkeypatch.setattr(engine, "FIT_SECONDS", longer)
    names = ["XGBoost", "MLP", "Nearest", "RandomForest", "LSTM"]
    order = []
    for name in names:
        model = Nearest()
        model.name = name  # type: ignore[misc]
        order.append(small_task(model, tmp_path, symbol=name))
    assert list(dict.fromkeys(one.task.symbol for one in run_tasks(order, 1))) == [
        "Nearest",
        "LSTM",
        "MLP",
        "RandomForest",
        "XGBoost",
    ]


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


def test_closing_early_gives_the_threads_back(tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(2)
    try:
        running = run_tasks([small_task(Nearest(), tmp_path)], 1)
        assert [one.task.symbol for one in itertools.islice(running, 2)] == ["EURUSD"] * 2
        running.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_environment_variables_for_the_workers_do_not_stay() -> None:
    before = dict(os.environ)
    with processes.one_thread_per_child():
        assert {os.environ[name] for name in processes.THREAD_VARIABLES} == {"1"}
    assert dict(os.environ) == before


def test_no_tasks_are_no_work() -> None:
    assert list(run_tasks([], 1)) == []
    assert list(run_tasks([], 2)) == []


def test_the_cores_are_those_this_process_may_use() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_an_interrupt_while_workers_start_is_not_lost() -> None:
    def interrupted() -> None:
        with processes.interrupts_held():
            os.kill(os.getpid(), signals.SIGINT)
        # Where another thread took it, the main one is told a moment later.
        time.sleep(5)

    # A shell may have had interrupts of its background jobs ignored.
    before = signals.signal(signals.SIGINT, signals.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signals.signal(signals.SIGINT, before)


def test_an_interrupt_that_a_librarys_callback_swallows_ends_the_run(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    class CallsBack(Nearest):
        def _fit(self, *given: object) -> object:  # type: ignore[override]
            ctypes.CFUNCTYPE(None)(interrupted)()
            return super()._fit(*given)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks([small_task(CallsBack(), tmp_path)], 1))
