"""Good rows to break: a simulated market's bars and a table of features, as frames and as text."""

import functools
import io

import numpy as np
import polars as pl

from market.simulate import SimulatedMarket

ISO = "%Y-%m-%d %H:%M"
PRICES = ("open", "high", "low", "close", "volume")


@functools.cache
def bars(n_rows=240, seed=7):
    """Return hourly bars from January 2010 on."""
    made = SimulatedMarket(n_bars=n_rows, edge=0.15).bars("EURUSD", seed)
    values = {name: getattr(made, f"{name}_T").round(5) for name in PRICES}
    return pl.DataFrame({"time": made.start_T, **values})


def text(frame=None, times=ISO, *, names=("time", *PRICES), separator=",", end="\n"):
    """Return bars as the text of a file, without a header where ``names`` is None."""
    shown = (bars() if frame is None else frame).with_columns(pl.col("time").dt.strftime(times))
    lines = [separator.join(map(str, row)) for row in shown.iter_rows()]
    return end.join([separator.join(names), *lines] if names else lines) + end


def replaced(row, column, cell, frame=None):
    """Return the text of bars with another cell, the first row being 1."""
    lines = text(frame).splitlines()
    cells = lines[row].split(",")
    cells[("time", *PRICES).index(column)] = cell
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode()


def parquet(frame, **settings):
    """Return a frame as the bytes of a Parquet file."""
    file = io.BytesIO()
    frame.write_parquet(file, **settings)
    return file.getvalue()


@functools.cache
def table(n_rows=240, seed=3, n_features=3):
    """Return events an hour apart with features, half of them won, the last five undecided."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2020-01-06T00", "us")
    times = start + np.arange(n_rows) * np.timedelta64(3_600_000_000, "us")
    features = {f"f{f}": rng.normal(size=n_rows).round(4) for f in range(n_features)}
    label = pl.Series((rng.random(n_rows) < 0.5).astype(np.int8))
    decided = pl.Series(np.arange(n_rows) < n_rows - 5)
    ends = pl.Series(times + np.timedelta64(7_200_000_000, "us"))
    return pl.DataFrame(
        {
            "timestamp": times,
            **features,
            "label": label.set(~decided, None),
            "label_end": ends.set(~decided, None),
            "weight": np.ones(n_rows),
        }
    )


def table_text(frame=None):
    """Return a table as CSV."""
    return (table() if frame is None else frame).write_csv()


def table_replaced(row, column, cell):
    """Return the CSV of a table with another cell, the first row being 1."""
    lines = table_text().splitlines()
    cells = lines[row].split(",")
    cells[table().columns.index(column)] = cell
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode()
