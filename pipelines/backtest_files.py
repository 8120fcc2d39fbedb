"""The files of a replay: its tables and its summary."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from backtest.replayed import Replayed
from exits.parameters import NAMES
from selection.atomic import write_bytes_atomically, write_json_atomically

TABLES = ("trades", "open_positions", "partials", "stop_moves", "decisions", "equity")
PARAMETERS = "parameters"
SUMMARY = "summary.json"
REPORT = "report.html"
EXPERIENCES = "experiences.json"
COMPARED = "compared.parquet"


def begin(folder: Path) -> None:
    """Take away the files of an earlier replay: none may lie beside those of this one.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    # What speaks for the others goes first.
    tables = [f"{name}.parquet" for name in (*TABLES, PARAMETERS)]
    for name in (SUMMARY, REPORT, COMPARED, EXPERIENCES, *tables):
        (folder / name).unlink(missing_ok=True)


def write_tables(folder: Path, replayed: Replayed) -> list[Path]:
    """Write one Parquet file per table, and one of the parameters that decisions name by row.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    frames: dict[str, pl.DataFrame] = {name: getattr(replayed, name) for name in TABLES}
    frames[PARAMETERS] = pl.DataFrame(replayed.parameters_MP, schema=list(NAMES), orient="row")
    return [write_table(folder / f"{name}.parquet", frame) for name, frame in frames.items()]


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write what a replay comes to as JSON; raises OSError if it cannot be written."""
    write_json_atomically(folder / SUMMARY, summary)
    return folder / SUMMARY


def write_table(path: Path, frame: pl.DataFrame) -> Path:
    """Write one frame; raises OSError if it cannot be written."""
    content = io.BytesIO()
    frame.write_parquet(content)
    write_bytes_atomically(path, content.getvalue())
    return path
