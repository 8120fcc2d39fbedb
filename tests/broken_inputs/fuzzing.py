"""Files as nobody means them: good ones with bytes, cells and rows changed, cut and joined."""

import gzip
import os

import numpy as np
import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from tests.broken_inputs.rows import bars, parquet, table, table_text, text

# A few seconds a test; many more where somebody has the time.
EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", "80"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None)
FEW = bars(30)
ODD_CELLS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "0", "1,5", "1.234,5", "1'000", "=1+1"),
    *("@A1", "-", "##", "null", "true", "\ufeff", "\u00a0", "\u202e", "\0", "\x1b[2J", '"', '""'),
    *("9" * 30, "9" * 400, "0x10", "1_000", "1e5", "٣", "½", "2010-01-03 21:00", "03/01/2010"),
    *("2010-02-30", "24:00", "1262552400", "1262552400000", "40181.5", "99991231", "x" * 300),
    *("2010-03-28T02:30:00+02:00", "2010-01-03T21:00:00Z", "-2010-01-01", "9999-12-31 23:59"),
    *(",", ";", "\t", "|", "\n", "\r", "\r\n", "\n\n\n", "time,open,high,low,close,volume\n"),
)
SEEDS = (
    text(FEW).encode(),
    text(FEW, "%Y.%m.%d\t%H:%M", names=None, separator="\t").encode(),
    text(FEW, "%d.%m.%Y %H:%M:%S", separator=";").replace(".", ",").encode(),
    text(FEW, "%s").encode(),
    text(FEW, "%m/%d/%Y %I:%M %p", end="\r\n").encode("utf-16"),
    text(FEW, "%Y-%m-%dT%H:%M:%S+02:00", separator=" ").encode(),
    ("\ufeff" + text(FEW, names=('"Date"', *"OHLCV"))).encode(),
    gzip.compress(text(FEW).encode(), mtime=0),
    parquet(FEW),
    parquet(FEW.with_columns(pl.col("time").dt.epoch("ms")), compression="uncompressed"),
    parquet(FEW.cast({"close": pl.String, "volume": pl.Int32}), compression="snappy"),
)
TABLE_SEEDS = (
    table_text(table(30)).encode(),
    parquet(table(30)),
    parquet(table(30).with_columns(pl.col("timestamp").dt.epoch("s")), compression="uncompressed"),
)


@st.composite
def spoilt(draw, seeds):
    """Draw a file's bytes: a seed with some changes to its bytes, cells or lines."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        change = draw(st.sampled_from((_bytes, _cell, _line, _cut, _joined, _twice)))
        content = change(draw, content, seeds)
    return gzip.compress(content, mtime=0) if draw(st.integers(0, 9)) == 0 else content


@st.composite
def any_table(draw, columns):
    """Draw the text of a table of cells that have nothing to do with each other."""
    n_rows = draw(st.integers(1, 8))
    mark = draw(st.sampled_from(",;\t| "))
    cells = st.sampled_from(ODD_CELLS) | st.floats().map(str) | st.text(max_size=8)
    usual = draw(st.lists(cells, min_size=1, max_size=len(columns) + 1))
    rows = [list(columns)] if draw(st.booleans()) else []
    for _ in range(n_rows):
        rows.append([draw(cells) if draw(st.integers(0, 3)) == 0 else one for one in usual])
    encoding = draw(st.sampled_from(("utf-8", "utf-16", "utf-16-le", "latin-1", "utf-8-sig")))
    return "\n".join(mark.join(row) for row in rows).encode(encoding, errors="replace")


def assert_is_a_line(error, file):
    """One printable line, not too long, that begins with the file's name."""
    line = str(error)
    assert line.startswith(file), line
    assert line.isprintable()
    assert len(line) < 1000


def assert_are_bars(found):
    """What `Bars` promises."""
    prices = [getattr(found, f"{name}_T") for name in ("open", "high", "low", "close")]
    open_T, high_T, low_T, close_T = prices
    n_bars = len(found)
    assert n_bars >= 2
    assert all(values_T.shape == (n_bars,) for values_T in (*prices, found.volume_T))
    assert found.start_T.dtype == np.dtype("M8[us]")
    assert (np.diff(found.start_T) > np.timedelta64(0, "us")).all()
    assert (np.isfinite(prices) & (np.array(prices) > 0)).all()
    assert (high_T >= np.maximum(open_T, close_T)).all()
    assert (low_T <= np.minimum(open_T, close_T)).all()
    assert (np.isfinite(found.volume_T) & (found.volume_T >= 0)).all()
    assert found.length > np.timedelta64(0, "us")


def assert_is_a_table(found):
    """What `EventTable` promises."""
    n_rows, decided_N = len(found), found.label_N >= 0
    assert found.x_NF.shape == (n_rows, len(found.names_F))
    assert len(set(found.names_F)) == len(found.names_F) > 0
    assert all(name and name.isprintable() for name in found.names_F)
    assert set(found.label_N.tolist()) <= {-1, 0, 1}
    assert (np.diff(found.t0_N) > np.timedelta64(0, "us")).all()
    assert np.isfinite(found.x_NF[decided_N]).all()
    assert (found.weight_N[decided_N] > 0).all()
    assert (found.t1_N[decided_N] >= found.t0_N[decided_N]).all()
    assert np.isnat(found.t1_N[~decided_N]).all()


def assert_is_a_whole_table(found):
    """Arrays of one length, and a name for each feature."""
    assert isinstance(found.symbol, str)
    assert all(isinstance(name, str) for name in found.names_F)
    assert found.x_NF.shape == (len(found), len(found.names_F))
    for array in (found.t0_N, found.t1_N, found.label_N, found.weight_N):
        assert array.shape == (len(found),)
    assert found.timed_out_N is None or found.timed_out_N.shape == (len(found),)


def _bytes(draw, content, _):
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    put = draw(st.binary(min_size=1, max_size=4))
    return content[:at] + put + content[at + draw(st.sampled_from((0, len(put)))) :]


def _cell(draw, content, _):
    at = draw(st.integers(0, len(content)))
    end = content.find(b",", at) if draw(st.booleans()) else at
    odd = draw(st.sampled_from(ODD_CELLS)).encode()
    return content[:at] + odd + content[max(end, at) :]


def _line(draw, content, _):
    lines = content.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    moved = lines.pop(at)
    lines.insert(draw(st.integers(0, len(lines))), moved)
    return b"\n".join(lines)


def _cut(draw, content, _):
    first = draw(st.integers(0, len(content)))
    last = draw(st.sampled_from((len(content), first + draw(st.integers(0, 40)))))
    return content[:first] + content[last:]


def _joined(draw, content, seeds):
    other = draw(st.sampled_from(seeds))
    return content[: draw(st.integers(0, len(content)))] + other[draw(st.integers(0, len(other))) :]


def _twice(draw, content, _):
    first = draw(st.integers(0, len(content)))
    part = content[first : first + draw(st.integers(0, 400))]
    return content[:first] + part * draw(st.integers(2, 20)) + content[first:]
