"""The out-of-fold predictions of one model: for the gate, for a replay, and to be looked at."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from market.splits import Split
from selection.atomic import write_bytes_atomically
from selection.metrics import BoolArray
from selection.out_of_fold import OutOfFold
from training.task import Trained
from training.walk_forward import block_numbers


def judged_rows(
    split: Split, trained: Trained, judged_from: np.datetime64 | None = None
) -> BoolArray:
    """Return which rows of development may speak for a model.

    Those that were predicted by fits that had not seen them; of a tuned model only what was decided
    after the search for its hyperparameters (`Task.judged_from`).
    """
    predicted_N: BoolArray = ~np.isnan(trained.p_N)
    if judged_from is None:
        return predicted_N
    return predicted_N & (split.development.t0_N >= judged_from)


def out_of_fold(
    split: Split, trained: Trained, judged_from: np.datetime64 | None = None
) -> OutOfFold:
    """Return the rows that may speak for a model, see `judged_rows`."""
    return _rows(split, trained, judged_rows(split, trained, judged_from))


def _rows(split: Split, trained: Trained, rows: BoolArray) -> OutOfFold:
    development = split.development
    return OutOfFold(
        development.y_N[rows],
        trained.p_N[rows],
        trained.base_rate_N[rows],
        development.t0_N[rows],
        development.t1_N[rows],
        block_numbers(split)[rows],
    )


def write_predictions(
    path: Path, split: Split, trained: Trained, judged_from: np.datetime64 | None = None
) -> dict[str, Any]:
    """Write one row per predicted decision as Parquet, times in UTC.

    Columns: ``timestamp`` and ``label_end``, ``label``, ``block`` (from 1), ``p`` (as the gate
    reads it), ``p_calibrated`` (by earlier blocks; absent where nothing is calibrated) and
    ``base_rate``. Of a tuned model also ``judged``: whether the row may speak for it; only such
    rows are calibrated.

    Returns
    -------
    dict
        What is needed to know the file again, and which decisions are in sample: ``file`` (its
        name), ``sha256``, ``bytes``, ``rows``, ``first_decision`` and ``last_decision`` (UTC) of
        those that may speak for the model, None where none may, and ``development_end``: when the
        last label was known that the deployed fit may have seen.
    """
    import polars as pl

    predicted_N = ~np.isnan(trained.p_N)
    judged_N = judged_rows(split, trained, judged_from)[predicted_N]
    rows = _rows(split, trained, predicted_N)
    further: dict[str, pl.Series] = {}
    if trained.calibrated:
        p_N = np.full(len(rows), np.nan)
        p_N[judged_N] = trained.calibrated.p_N
        further["p_calibrated"] = pl.Series(p_N, nan_to_null=True)
    if judged_from is not None:
        further["judged"] = pl.Series(judged_N)
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(rows.t0_N).dt.replace_time_zone("UTC"),
            "label_end": pl.Series(rows.t1_N).dt.replace_time_zone("UTC"),
            "label": rows.y_N,
            "block": rows.block_N + 1,
            "p": rows.p_N,
            **further,
            "base_rate": rows.base_rate_N,
        }
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    content = buffer.getvalue()
    write_bytes_atomically(path, content)
    judged_t0_N = rows.t0_N[judged_N]
    return {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "rows": len(rows),
        "first_decision": _utc(judged_t0_N[0]) if len(judged_t0_N) else None,
        "last_decision": _utc(judged_t0_N[-1]) if len(judged_t0_N) else None,
        "development_end": _utc(split.development.t1_N.max()),
    }


def _utc(moment: np.datetime64) -> datetime:
    found: datetime = moment.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
