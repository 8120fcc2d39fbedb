"""Fits that are kept, and tasks that go on with them."""

import errno
import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Model, ModelError
from tests.models.planted import make_model
from tests.models.planted import signal as planted
from tests.training.spies import Believer, adaptive, believers, hinted, task, train_task, walked
from tests.training.test_engine import SMALL, contents
from training.engine import run_tasks
from training.task import FitEnded, Keeping, Task, Trained
from training.units import Unit, Units, kept_units, unit_key
from training.walk_forward import Training

KEY = "0" * 64
TIMES = ("cpu", "duration_s")


def kept(work: Task, folder: Path) -> Task:
    key = unit_key(work, work.split.development.digest())
    return replace(work, keeping=Keeping(folder / "units", key))


def begun(work: Task, n_fits: int) -> None:
    """Train a task and leave it after so many of its fits, as a process that is killed does."""
    for number, _ in enumerate(Training(work).fits(), start=1):
        if number == n_fits:
            return


def ended(work: Task) -> tuple[list[FitEnded], Trained]:
    *fits, trained = Training(work).fits()
    assert isinstance(trained, Trained)
    return [one for one in fits if isinstance(one, FitEnded)], trained


def lasting(trained: Trained) -> dict[str, Any]:
    """Return what a task gave but for times, as text: it tells apart what is not the same."""
    shown = {name: getattr(trained, name) for name in trained.__slots__ if name not in TIMES}
    with np.printoptions(threshold=10**6, floatmode="unique"):
        return {name: repr(one) for name, one in shown.items()}


@given(
    units=st.lists(
        st.tuples(st.text(max_size=9), st.lists(st.floats(allow_nan=True), max_size=9)),
        max_size=6,
        unique_by=lambda unit: unit[0],
    ),
    cut=st.floats(0, 1),
)
def test_what_was_kept_is_read_back_up_to_where_the_file_was_cut(
    tmp_path_factory: pytest.TempPathFactory, units: list[tuple[str, list[float]]], cut: float
) -> None:
    folder = tmp_path_factory.mktemp("units")
    written, ends = Units(folder, KEY), [0]
    for name, values in units:
        written.keep({name: Unit({"values": values}, np.array(values))})
        ends.append(next(folder.iterdir()).stat().st_size)
    written.close()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[: int(cut * ends[-1])])
    n_whole = sum(end <= int(cut * ends[-1]) for end in ends[1:])
    found = kept_units(folder, KEY)
    assert list(found) == [name for name, _ in units[:n_whole]]
    for name, values in units[:n_whole]:
        np.testing.assert_array_equal(found[name].p_N, np.array(values))
        np.testing.assert_equal(found[name].facts["values"], values)


def test_no_changed_byte_of_a_record_is_believed(tmp_path: Path) -> None:
    units = Units(tmp_path, KEY)
    units.keep({"fold 1": Unit({"a": 1.5}, np.array([0.25]))})
    units.close()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for place in range(len(content)):
        spoilt = bytearray(content)
        spoilt[place] ^= 1
        path.write_bytes(bytes(spoilt))
        assert kept_units(tmp_path, KEY) == {}, place


def test_fits_under_another_key_are_neither_found_nor_left_behind(tmp_path: Path) -> None:
    before = Units(tmp_path, KEY)
    before.keep({"fold 1": Unit({})})
    before.close()
    other = Units(tmp_path, "1" * 64)
    assert other.get("fold 1") is None
    assert list(tmp_path.iterdir()) == []


def test_two_processes_that_keep_the_same_fit_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, other = Units(tmp_path, KEY), Units(tmp_path, KEY)
    for number in range(5):
        one.keep({f"fold {number}": Unit({"by": "one"})})
        other.keep({f"fold {number}": Unit({"by": "other"})})
    one.close()
    other.close()
    assert len(kept_units(tmp_path, KEY)) == 5
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("file", [*SMALL, "majority", "logistic"])
def test_a_task_that_was_cut_off_anywhere_ends_as_if_it_had_not_been(
    tmp_path: Path, file: str
) -> None:
    model: Model = make_model(file, **SMALL.get(file, {}))
    stronger = (make_model(file, weight_decay=0.3, **SMALL[file]),) if file == "mlp" else ()
    changes: dict[str, Any] = {"augmentation": "adaptive", "calibrates": True}
    work = task(walked(planted(150, seed=1), n_blocks=3), tmp_path / "a", model, stronger=stronger)
    fits, whole = ended(replace(work, **changes))
    for n_fits in (1, len(fits) // 2, len(fits)):
        folder = tmp_path / str(n_fits)
        again = kept(replace(work, **changes, folder=folder / model.name), folder)
        begun(again, n_fits)
        fits_again, resumed = ended(again)
        assert [one.was_kept for one in fits_again[:n_fits]].count(False) <= 1
        # Nets are made several at a time.
        assert file in ("mlp", "lstm") or not any(one.was_kept for one in fits_again[n_fits:])
        assert lasting(resumed) == lasting(whole)
        assert contents(folder / model.name) == contents(tmp_path / "a" / model.name)
        assert all(one.was_kept for one in ended(again)[0])


def test_nets_that_were_made_together_are_kept_before_their_turn(tmp_path: Path) -> None:
    model = make_model("lstm", max_epochs=3)
    work = kept(task(walked(planted(150, seed=1), n_blocks=3), tmp_path, model), tmp_path)
    begun(work, 1)
    fits, _ = ended(work)
    assert [one.was_kept for one in fits] == [True, True, True, False]


def test_choices_that_earlier_blocks_taught_are_taken_up_again(tmp_path: Path) -> None:
    rows = hinted(np.arange(200) % 3 > 0)
    work = task(walked(rows), tmp_path, **believers(2.0, 1.0, 0.5), **adaptive(0.5))
    _, whole = ended(work)
    n_fits = len(Believer.fits)
    again = kept(work, tmp_path)
    begun(again, 9)
    assert lasting(ended(again)[1]) == lasting(whole)
    # The one under way when it was left had been made, and had not been told of.
    assert len(Believer.fits) - n_fits in (n_fits, n_fits + 1)


def test_a_deployed_fit_whose_files_were_changed_is_made_again(tmp_path: Path) -> None:
    work = kept(task(walked(planted(120, seed=1)), tmp_path, make_model("xgboost")), tmp_path)
    train_task(work)
    before = contents(tmp_path / "XGBoost")
    (tmp_path / "XGBoost" / "model.json").write_text("{}")
    fits, _ = ended(work)
    assert [one.name for one in fits if not one.was_kept] == ["final fit"]
    assert contents(tmp_path / "XGBoost") == before


@pytest.mark.parametrize("method", ["keep", "close"])
def test_a_disk_that_fails_while_fits_are_kept_ends_the_run_and_is_no_models_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fails(*_given: object, **_named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "units/a")

    work = kept(task(walked(planted(120, seed=1)), tmp_path, make_model("xgboost")), tmp_path)
    monkeypatch.setattr(Units, method, fails)
    with pytest.raises(OSError, match="Input/output error: 'units/a'"):
        list(run_tasks([work], 1))


def test_a_fit_that_failed_for_good_is_kept_and_a_task_that_failed_fails_again(
    tmp_path: Path,
) -> None:
    rows = hinted(np.arange(200) % 3 > 0)
    work = kept(task(walked(rows), tmp_path, **believers(2.0)), tmp_path)
    Believer.fails = lambda fit: len(fit.train) > 150
    for _ in range(2):
        with pytest.raises(ModelError, match=r"fold 6: lost belief"):
            train_task(work)
    assert len(Believer.fits) == 6


KEYS: dict[str, dict[str, Any]] = {
    "seed": {"seed": 8},
    "model": {"model": Believer(belief=0.1)},
    "path": {"stronger": (Believer(belief=0.1),)},
    "rows": {"split": walked(planted(100, seed=2))},
    "folds": {"split": walked(planted(100, seed=1), n_blocks=5)},
    "tail": {"early_stopping_fraction": 0.2},
    "augmentation": {"augmentation": "always"},
    "augmenter": adaptive(0.5),
    "calibration": {"calibrates": True},
    "symbol": {"symbol": "GBPUSD"},
}


@pytest.mark.parametrize("change", KEYS)
def test_whatever_decides_a_fit_is_in_its_key(tmp_path: Path, change: str) -> None:
    work = task(walked(planted(100, seed=1)), tmp_path, Believer(belief=1.0))
    other = replace(work, **KEYS[change])
    keys = [unit_key(one, one.split.development.digest()) for one in (work, other)]
    assert keys[0] != keys[1]
    moved = replace(work, folder=tmp_path / "elsewhere")
    assert unit_key(moved, moved.split.development.digest()) == keys[0]


def keep_for_ever(folder: Path) -> None:
    units = Units(folder, KEY)
    for number in range(10**9):
        units.keep({str(number): Unit({}, np.full(1000, float(number)))})


def test_a_process_that_is_killed_while_it_writes_loses_nothing_that_it_had_kept(
    tmp_path: Path,
) -> None:
    process = get_context("spawn").Process(target=keep_for_ever, args=(tmp_path,))
    process.start()
    while len(kept_units(tmp_path, KEY)) < 20:
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    found = kept_units(tmp_path, KEY)
    assert list(found) == [str(number) for number in range(len(found))]
    assert all((unit.p_N == float(name)).all() for name, unit in found.items())
