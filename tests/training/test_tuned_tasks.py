"""A tuned model is judged, calibrated and told by the rows after its search alone.

Axes: N rows.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from market.splits import Split
from selection.json_safe import to_json_safe
from selection.metrics import classification_metrics
from selection.tuned_file import TunedModel
from tests.models.planted import make_model, signal
from tests.selection.founds import found, turned_down
from tests.training.spies import task, train_task, walked
from tests.training.test_result import NOW, PAYOFF
from training.predictions import judged_rows, out_of_fold, write_predictions
from training.result import training_result
from training.task import Task, Trained
from training.units import unit_key


def moment(time: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(time)).replace(tzinfo=UTC)


def searched(split: Split, n_blocks: int = 4, **changes: Any) -> TunedModel:
    """Return what a sweep adopted that has seen so many blocks."""
    first = split.folds[n_blocks].block.start
    return found(tuned_until=moment(split.development.t0_N[first]), **changes)


def result_of(work: Task, trained: Trained) -> Any:
    given: dict[str, Any] = {"null_model": False, "conf_digest": "c0ffee", "notes": (), "now": NOW}
    return to_json_safe(training_result(work, trained, payoff=PAYOFF, **given))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Trained]:
    split = walked(signal(400, seed=1, label_bars=3))
    work = task(split, tmp_path_factory.mktemp("tuned"), make_model("logistic"), calibrates=True)
    work = replace(work, tuning=searched(split))
    return work, train_task(work)


def test_only_rows_decided_after_the_search_speak_for_it(tuned: tuple[Task, Trained]) -> None:
    work, trained = tuned
    rows = out_of_fold(work.split, trained, work.judged_from)
    assert np.unique(rows.block_N).tolist() == [4, 5]
    assert len(rows) == 80
    assert rows.t0_N[0] == work.judged_from
    assert len(out_of_fold(work.split, trained)) == 240


def test_its_calibration_has_seen_no_row_of_the_search(tuned: tuple[Task, Trained]) -> None:
    work, trained = tuned
    untuned = train_task(replace(work, tuning=None))
    assert trained.calibrated is not None
    assert untuned.calibrated is not None
    assert np.array_equal(trained.p_N, untuned.p_N, equal_nan=True)
    assert (len(trained.calibrated.p_N), len(untuned.calibrated.p_N)) == (80, 240)
    assert set(trained.calibrated.kind_by_block) == {4, 5}
    # Before its own first block nothing is known that it could be calibrated by.
    rows = out_of_fold(work.split, trained, work.judged_from)
    assert trained.calibrated.p_N[:40] == pytest.approx(rows.p_N[:40])


def test_a_search_that_ended_after_all_rows_leaves_none_to_calibrate_by(tmp_path: Path) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    late = found(tuned_until=datetime(2100, 1, 1, tzinfo=UTC))
    work = task(split, tmp_path, make_model("logistic"), calibrates=True)
    trained = train_task(replace(work, tuning=late))
    assert trained.calibrated is None
    assert not judged_rows(split, trained, replace(work, tuning=late).judged_from).any()


def test_its_figures_are_those_of_the_later_rows_and_the_result_says_so(
    tuned: tuple[Task, Trained],
) -> None:
    work, trained = tuned
    result, y_N = result_of(work, trained), work.split.development.y_N
    assert result["out_of_fold"] == classification_metrics(y_N[-80:], trained.p_N[-80:])
    fitted = np.mean([one.train_accuracy for one in trained.folds[4:]])
    gap = fitted - result["out_of_fold"]["accuracy"]
    assert result["history"]["oof_gap"] == pytest.approx(gap)
    assert sum(one["n"] for one in result["reliability"]) == 80
    (step,) = result["strength"]["steps"]
    assert step["out_of_fold_log_loss"] == result["out_of_fold"]["log_loss"]
    told = result["tuning"]
    assert (told["adopted"], told["n_trials"], told["judged_rows"]) == (True, 50, 80)
    assert told["in_words"].startswith("tuned in 50 trials (10 pruned, 2 failed): 30.0 thousandths")
    (warning,) = (one for one in result["warnings"] if one.startswith("tuned (50 trials)"))
    assert "has read blocks 1, 2, 3, 4 and so their cv_* accuracies; only the 80 rows" in warning


def test_a_block_that_the_search_saw_in_part_is_named_too(tuned: tuple[Task, Trained]) -> None:
    work, trained = tuned
    until = work.split.development.t0_N[work.split.folds[4].block.start + 1]
    later = replace(work, tuning=found(tuned_until=moment(until)))
    calibrated = train_task(later)
    warning = result_of(later, calibrated)["warnings"][-1]
    assert "has read blocks 1, 2, 3, 4, 5 and" in warning
    assert trained.folds[4].p_N[1:] == pytest.approx(calibrated.p_N[-79:-40])


def test_what_was_swept_and_not_adopted_is_judged_as_ever_and_says_so(tmp_path: Path) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    plain = task(split, tmp_path, make_model("logistic"), calibrates=True)
    swept = replace(plain, tuning=turned_down())
    trained = train_task(swept)
    before, after = (result_of(one, trained) for one in (plain, swept))
    assert before.pop("tuning") is None
    assert after.pop("tuning")["in_words"] == (
        "50 trials (10 pruned, 2 failed), not adopted: no better on later rows"
    )
    assert before == after


def test_fits_are_known_by_what_decides_them_and_not_by_what_is_told_of_a_sweep(
    tmp_path: Path,
) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    plain = task(split, tmp_path, make_model("logistic"), calibrates=True)
    told = replace(plain, tuning=turned_down())
    # What the deployed fit is calibrated by hangs on where the search ended.
    adopted = [replace(plain, tuning=searched(split, k)) for k in (3, 4)]
    keys = [unit_key(one, "d" * 64) for one in (plain, told, *adopted)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_its_file_of_predictions_marks_the_rows_that_speak_for_it(
    tuned: tuple[Task, Trained], tmp_path: Path
) -> None:
    work, trained = tuned
    write_predictions(tmp_path / "one.parquet", work.split, trained, work.judged_from)
    frame = pl.read_parquet(tmp_path / "one.parquet")
    assert frame["judged"].to_list() == [False] * 160 + [True] * 80
    assert (frame["p_calibrated"].is_null() == ~frame["judged"]).all()
    assert frame["p"].is_not_null().all()
