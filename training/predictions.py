"""The out-of-fold predictions of one model, for the gate and for whoever wants to look."""

import io
from pathlib import Path

import numpy as np

from market.splits import Split
from selection.atomic import write_bytes_atomically
from selection.out_of_fold import OutOfFold
from training.task import Trained
from training.walk_forward import block_numbers


def out_of_fold(split: Split, trained: Trained) -> OutOfFold:
    """Return the rows of development that were predicted by fits that had not seen them."""
    rows = np.flatnonzero(~np.isnan(trained.p_N))
    development = split.development
    return OutOfFold(
        development.y_N[rows],
        trained.p_N[rows],
        trained.base_rate_N[rows],
        development.t0_N[rows],
        development.t1_N[rows],
        block_numbers(split)[rows],
    )


def write_predictions(path: Path, split: Split, trained: Trained) -> None:
    """Write one row per predicted decision as Parquet, times in UTC.

    Columns: ``timestamp`` and ``label_end``, ``label``, ``block`` (from 1), ``p`` (as the gate
    reads it), ``p_calibrated`` (by earlier blocks; absent where nothing is calibrated) and
    ``base_rate``.
    """
    import polars as pl

    rows = out_of_fold(split, trained)
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(rows.t0_N).dt.replace_time_zone("UTC"),
            "label_end": pl.Series(rows.t1_N).dt.replace_time_zone("UTC"),
            "label": rows.y_N,
            "block": rows.block_N + 1,
            "p": rows.p_N,
            **({"p_calibrated": trained.calibrated.p_N} if trained.calibrated else {}),
            "base_rate": rows.base_rate_N,
        }
    )
    content = io.BytesIO()
    frame.write_parquet(content)
    write_bytes_atomically(path, content.getvalue())
