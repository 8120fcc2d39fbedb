"""A folder as people have them: eleven good files in eleven formats, nine broken ones."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

from market.simulate import SimulatedMarket
from tests.market.conftest import bar_files
from tests.pipelines.conftest import command, trained

N_BARS = 2000
QUICK = ("debug=smoke", "symbols=null", "data=bars", "tracking=none")
FEW = ("~models.mlp", "~models.lstm", "~models.xgboost", "~null_models.logistic")
PRICES = ("open", "high", "low", "close", "volume")


def frame(symbol):
    bars = SimulatedMarket(n_bars=N_BARS, edge=0.15).bars(symbol, 7)
    values = {name: getattr(bars, f"{name}_T") for name in PRICES}
    return pl.DataFrame({"time": bars.start_T, **values})


def text(rows, times, *, names=None, separator=","):
    """Return rows as text, times by a format, with or without a header."""
    shown = rows.with_columns(pl.col("time").dt.strftime(times))
    shown = shown.rename(dict(zip(shown.columns, names, strict=True))) if names else shown
    return shown.write_csv(separator=separator, include_header=names is not None)


def metatrader5(rows):
    shown = rows.with_columns(
        pl.col("time").dt.strftime("%Y.%m.%d %H:%M:%S"),
        pl.col("volume").cast(pl.Int64).alias("tick_volume"),
        pl.lit(3).alias("spread"),
        pl.lit(0).alias("real_volume"),
    )
    return shown.drop("volume").write_csv()


def metatrader5_tabs(rows):
    names = ("<DATE>\t<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>")
    body = text(rows, "%Y.%m.%d\t%H:%M:%S", separator=";").replace(";", "\t")
    return "\t".join(names) + "\n" + body.replace('"', "")


def good_files(folder):
    capital = ("Date", "Open", "High", "Low", "Close", "Volume")
    iso, dotted = "%Y-%m-%d %H:%M", "%Y.%m.%d,%H:%M"
    write = {
        "EURUSD60.csv": lambda f: text(f, dotted).replace('"', ""),
        "GBPUSD_H1.csv": metatrader5,
        "USDJPYh1.csv": metatrader5_tabs,
        "AUDUSD.csv": lambda f: text(f, iso, names=capital),
        "USDCAD-1h.csv": lambda f: text(f, "%d.%m.%Y %H:%M:%S.000", names=("Gmt time", *PRICES)),
        "USDCHF.txt": lambda f: text(f, "%Y%m%d %H%M%S", separator=";"),
        "NZDUSD.csv": lambda f: text(f.reverse(), iso, names=("timestamp", *"ohlcv")),
        "EURJPY.csv": lambda f: text(f, "%s", names=("time", *PRICES)),
    }
    for name, made in write.items():
        (folder / name).write_text(made(frame(name[:6])), encoding="utf-8")
    utf16 = text(frame("GBPJPY"), iso, names=capital, separator="\t")
    (folder / "GBPJPY.csv").write_bytes(utf16.encode("utf-16"))
    packed = gzip.compress(text(frame("EURGBP"), iso, names=capital).encode())
    (folder / "EURGBP.csv.gz").write_bytes(packed)
    frame("XAUUSD").write_parquet(folder / "XAUUSD.parquet")
    return [*(name[:6] for name in write), "GBPJPY", "EURGBP", "XAUUSD"]


def broken_files(folder):
    """Write nine files that cannot be used; return what must be said of each."""
    rows = frame("EURUSD")
    good = text(rows, "%Y-%m-%d %H:%M", names=("time", *PRICES))
    lines = good.splitlines(keepends=True)
    contents = {
        "EMPTY.csv": (b"", "empty"),
        "HEADER.csv": (lines[0].encode(), "no rows"),
        "PAGE.csv": (b"<!DOCTYPE html><html><body>Not found</body></html>\n", "web page"),
        "CUT.csv.gz": (gzip.compress(good.encode())[:9000], "gzip"),
        "LETTER.csv": (good.replace(lines[40].split(",")[4], "1.1O5", 1).encode(), "row 40"),
        "NOCLOSE.csv": (rows.drop("close").write_csv().encode(), "close"),
        "FUTURE.csv": (good.replace("2010-", "2110-").encode(), "future"),
        "NEGATIVE.csv": (text(rows.with_columns(-pl.col("low")), "%Y-%m-%d %H:%M",
                              names=("time", *PRICES)).encode(), "row 1"),
        "MONTHDAY.csv": (text(rows.filter(pl.col("time").dt.day() <= 12), "%d/%m/%Y %H:%M",
                              names=("time", *PRICES)).encode(), "time_format"),
    }  # fmt: skip
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name.partition(".")[0]: word for name, (_, word) in contents.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("strangers")
    return place, good_files(place), broken_files(place)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    return trained(place, *QUICK, *FEW, f"data.dir={folder[0]}")


def test_eleven_symbols_are_trained_nine_explained_and_the_code_is_3(run, folder):
    _, good, broken = folder
    statuses = {symbol: one["status"] for symbol, one in run.record["symbols"].items()}
    assert run.code == 3
    assert {symbol for symbol, status in statuses.items() if status == "trained"} == set(good)
    assert {symbol for symbol, status in statuses.items() if status == "failed"} == set(broken)
    assert run.manifest["summary"]["total_symbols"] == 20


def test_every_broken_file_is_explained_in_one_line(run, folder):
    for symbol, word in folder[2].items():
        error = run.record["symbols"][symbol]["error"]
        assert error.startswith(f"{symbol}."), error
        assert word in error
        assert "\n" not in error
        assert f"{symbol}: {error}\n" in run.printed
        report = json.loads((run.folder / "out" / "data" / f"{symbol}.json").read_text())
        assert report["error"] == error


def test_eleven_formats_give_the_same_bars(folder):
    source = bar_files(folder[0])
    for symbol in folder[1]:
        bars, report = source.read(symbol)
        expected = frame(symbol)
        np.testing.assert_array_equal(bars.start_T, expected["time"].to_numpy())
        np.testing.assert_array_equal(bars.close_T, expected["close"].to_numpy())
        np.testing.assert_array_equal(bars.volume_T, expected["volume"].to_numpy())
        assert report.bar_length == "1h"


def test_inspect_names_each_file_and_ends_with_code_3(folder, tmp_path):
    place, good, broken = folder
    ended = command("data", "inspect", str(place), "output=found.json", cwd=tmp_path)
    assert ended.returncode == 3
    assert ended.stderr == ""
    assert ended.stdout.endswith("11 of 20 files can be used\n")
    found = {one["symbol"]: one for one in json.loads((tmp_path / "found.json").read_text())}
    assert set(found) == {*good, *broken}
    assert all((found[symbol]["error"] is None) == (symbol in good) for symbol in found)
    assert found["GBPJPY"]["format"]["encoding"].startswith("utf-16")


def test_inspect_shows_everything_about_one_file(folder, tmp_path):
    path = folder[0] / "EURUSD60.csv"
    ended = command("data", "inspect", str(path), "data.time_zone=UTC", cwd=tmp_path)
    assert ended.returncode == 0
    assert "read as   MetaTrader without header, comma, utf-8" in ended.stdout
    assert "as UTC (set)" in ended.stdout
    assert f"bars      {N_BARS:,} of 1h" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "expected python -m pipelines.data inspect PATH"),
        (("inspect", ""), "expected python -m pipelines.data inspect PATH"),
        (("inspect", "nowhere"), "data.dir: nowhere: no such folder"),
        (("inspect", "q'u ${x}\\a"), "data.dir: q'u ${x}\\a: no such folder"),
        (("inspect", ".", "data.encoding=${nix}"), "Interpolation key 'nix' not found"),
        (("inspect", ".", "data.timezone=UTC"), "unknown key, did you mean data.time_zone?"),
        (("inspect", ".", "data.columns.clos=C"), "unknown key, did you mean data.columns.close?"),
        (
            ("inspect", ".", "data.columns.close=1.5"),
            "data.columns.close must be text or a whole number or null, was 1.5",
        ),
        (("inspect", ".", "data.columns.open=0"), "data.columns.open must be a name or a position"),
        (("inspect", ".", "data.time_zone=Helsinki"), "data.time_zone must be"),
    ],
)
def test_a_mistaken_inspect_is_one_line(arguments, line, tmp_path):
    ended = command("data", *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert line in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_folder_is_no_output(folder, tmp_path):
    ended = command("data", "inspect", str(folder[0] / "EURJPY.csv"), "output=.", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "configuration error: output: . is a folder; name a file\n"
