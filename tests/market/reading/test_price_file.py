"""Price files of every usual kind: each is read as it stands, with nothing said about it."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.reading.price_file import ReadOptions, described, read_price_file

ROOT = Path(__file__).parents[3]
RAW = ROOT.parent / "shared" / "data" / "raw"
PRICES = ("open", "high", "low", "close")

# name: text, start of the first bar, its volume, and the format in words
FILES = {
    "MetaTrader 4, history centre": (
        "2013.11.29,12:00,1.1,1.4,1.0,1.2,35\n2013.11.29,13:00,1.2,1.5,1.1,1.3,36\n",
        "2013-11-29T12:00", 35,
        "MetaTrader without header, comma, utf-8, times %Y.%m.%d %H:%M as UTC (none is given)",
    ),
    "MetaTrader 5, export with tabs": (
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2020.01.02\t09:00:00\t1.1\t1.4\t1.0\t1.2\t35\t0\t7\n",
        "2020-01-02T09:00", 35,
        "MetaTrader, tab, utf-8, times %Y.%m.%d %H:%M:%S as UTC (none is given)",
    ),
    "MetaTrader 5, daily": (
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2020.01.02\t1.1\t1.4\t1.0\t1.2\t35\t0\t7\n",
        "2020-01-02", 35,
        "MetaTrader, tab, utf-8, times %Y.%m.%d as UTC (none is given)",
    ),
    "MetaTrader 5, script": (
        "time,open,high,low,close,tick_volume,spread,real_volume\n"
        "2020-01-02 09:00:00,1.1,1.4,1.0,1.2,35,7,0\n",
        "2020-01-02T09:00", 35,
        "MetaTrader, comma, utf-8, times %Y-%m-%d %H:%M:%S as UTC (none is given)",
    ),
    "MetaTrader 5, script with seconds": (
        "time,open,high,low,close,tick_volume,spread,real_volume\n"
        "1577955600,1.1,1.4,1.0,1.2,35,7,0\n",
        "2020-01-02T09:00", 35,
        "MetaTrader, comma, utf-8, times seconds since 1970 as UTC (none is given)",
    ),
    "Dukascopy": (
        "Gmt time,Open,High,Low,Close,Volume\n01.01.2017 22:00:00.000,1.1,1.4,1.0,1.2,35\n",
        "2017-01-01T22:00", 35,
        "Dukascopy, comma, utf-8, times %d.%m.%Y %H:%M:%S.%f as GMT (in the header)",
    ),
    "Dukascopy, local time": (
        "Local time,Open,High,Low,Close,Volume\n"
        "01.01.2017 23:00:00.000 GMT+0100,1.1,1.4,1.0,1.2,35\n",
        "2017-01-01T22:00", 35,
        "Dukascopy, comma, utf-8, times %d.%m.%Y %H:%M:%S.%f GMT%z as +0100 (in the file)",
    ),
    "Dukascopy, clock in the header": (
        "Time (EET),Open,High,Low,Close,Volume \n2017.01.02 00:00:00,1.1,1.4,1.0,1.2,35\n",
        "2017-01-01T22:00", 35,
        "Dukascopy, comma, utf-8, times %Y.%m.%d %H:%M:%S as EET (in the header)",
    ),
    "HistData": (
        "20120201 000000;1.1;1.4;1.0;1.2;0\n20120201 000100;1.2;1.5;1.1;1.3;0\n",
        "2012-02-01", 0,
        "HistData without header, semicolon, utf-8, times %Y%m%d %H%M%S as UTC (none is given)",
    ),
    "Yahoo": (
        "Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-02,1.1,1.4,1.0,1.2,0.9,35\n",
        "2020-01-02", 35,
        "CSV, comma, utf-8, times %Y-%m-%d as UTC (none is given)",
    ),
    "Yahoo, header of three lines": (
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
        "2020-01-02,1.2,1.4,1.0,1.1,35\n2020-01-03,1.2,1.4,1.0,1.1,35\n",
        "2020-01-02", 35,
        "CSV, comma, utf-8, times %Y-%m-%d as UTC (none is given)",
    ),
    "TradingView, seconds": (
        "time,open,high,low,close,Volume,Volume MA\n1577955600,1.1,1.4,1.0,1.2,35,30\n",
        "2020-01-02T09:00", 35,
        "CSV, comma, utf-8, times seconds since 1970 as UTC (none is given)",
    ),
    "TradingView, offsets": (
        "time,open,high,low,close\n2020-03-29T01:00:00+01:00,1.1,1.4,1.0,1.2\n"
        "2020-03-29T03:00:00+02:00,1.2,1.5,1.1,1.3\n",
        "2020-03-29T00:00", 0,
        "CSV, comma, utf-8, times %Y-%m-%dT%H:%M:%S%z as several offsets (in the file)",
    ),
    "CryptoDataDownload": (
        "https://www.CryptoDataDownload.com\n"
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT\n"
        "1577962800000,2020-01-02 11-AM,BTCUSDT,1.1,1.4,1.0,1.2,35,99\n"
        "1577959200000,2020-01-02 10-AM,BTCUSDT,1.2,1.5,1.1,1.3,36,98\n",
        "2020-01-02T11:00", 35,
        "CryptoDataDownload, comma, utf-8, times %Y-%m-%d %I-%p as UTC (none is given)",
    ),
    "Binance klines": (
        "1577955600000,1.1,1.4,1.0,1.2,35,1577959199999,9.9,12,3.1,4.1,0\n"
        "1577959200000,1.2,1.5,1.1,1.3,36,1577962799999,9.9,12,3.1,4.1,0\n",
        "2020-01-02T09:00", 35,
        "Binance klines without header, comma, utf-8, times milliseconds since 1970 as UTC "
        "(none is given)",
    ),
    "Stooq": (
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "EURUSD,60,20200102,90000,1.1,1.4,1.0,1.2,35,0\n"
        "EURUSD,60,20200102,100000,1.2,1.5,1.1,1.3,36,0\n",
        "2020-01-02T09:00", 35,
        "CSV, comma, utf-8, times %Y%m%d %H%M%S as UTC (none is given)",
    ),
    "date and timestamp": (
        "Date,Timestamp,Open,High,Low,Close,Volume\n20170102,02:00:00,1.1,1.4,1.0,1.2,\n",
        "2017-01-02T02:00", 0,
        "CSV, comma, utf-8, times %Y%m%d %H:%M:%S as UTC (none is given)",
    ),
    "spreadsheet, decimal comma": (
        "sep=;\nDatum;Date;Open;High;Low;Close;Vol.\n1;31.01.2020 09:00;1,1;1,4;1,0;1,2;35\n",
        "2020-01-31T09:00", 35,
        "CSV, semicolon, utf-8, times %d.%m.%Y %H:%M as UTC (none is given)",
    ),
    "pandas index without a name": (
        ",Open,High,Low,Close,Volume\n2020-01-02 09:00:00+00:00,1.1,1.4,1.0,1.2,35\n",
        "2020-01-02T09:00", 35,
        "CSV, comma, utf-8, times %Y-%m-%d %H:%M:%S%z as +00:00 (in the file)",
    ),
    "row numbers first": (
        ",timestamp,o,h,l,c,v\n0,1577955600.0,1.1,1.4,1.0,1.2,35\n1,1577959200.0,1,1,1,1,3\n",
        "2020-01-02T09:00", 35,
        "CSV, comma, utf-8, times seconds since 1970 as UTC (none is given)",
    ),
    "row names as R writes them": (
        '"time","open","high","low","close"\n"1",2020-01-02T09:00Z,1.1,1.4,1.0,1.2\n',
        "2020-01-02T09:00", 0,
        "CSV, comma, utf-8, times %Y-%m-%dT%H:%M%z as UTC (in the file)",
    ),
    "blanks": (
        "  Date        Time   Open  High Low Close\n 2020.01.02  09:00  1.1 1.4  1.0 1.2 \n",
        "2020-01-02T09:00", 0,
        "MetaTrader, blanks, utf-8, times %Y.%m.%d %H:%M as UTC (none is given)",
    ),
    "pipes": (
        "datetime| open |HIGH|Low Price|close_price\n2020/01/02 9:00 AM|1.1|1.4|1.0|1.2\n",
        "2020-01-02T09:00", 0,
        "CSV, pipe, utf-8, times %Y/%m/%d %I:%M %p as UTC (none is given)",
    ),
    "month first, as the second row proves": (
        "Date,Open,High,Low,Close\n01/02/2020,1.1,1.4,1.0,1.2\n01/13/2020,1.1,1.4,1.0,1.2\n",
        "2020-01-02", 0,
        "CSV, comma, utf-8, times %m/%d/%Y as UTC (none is given)",
    ),
    "day first, as the second row proves": (
        "Date,Open,High,Low,Close\n02-01-2020,1.1,1.4,1.0,1.2\n13-01-2020,1.1,1.4,1.0,1.2\n",
        "2020-01-02", 0,
        "CSV, comma, utf-8, times %d-%m-%Y as UTC (none is given)",
    ),
    "one side of the book": (
        "date,bidopen,bidclose,bidhigh,bidlow,tickqty\n20200102090000,1.1,1.2,1.4,1.0,35\n",
        "2020-01-02T09:00", 35,
        "CSV, comma, utf-8, times %Y%m%d%H%M%S as UTC (none is given)",
    ),
    "separators at the end of every row": (
        "time,open,high,low,close\n2020-01-02 09:00,1.1,1.4,1.0,1.2,\n",
        "2020-01-02T09:00", 0,
        "CSV, comma, utf-8, times %Y-%m-%d %H:%M as UTC (none is given)",
    ),
}  # fmt: skip


def read(folder, content, **options):
    path = folder / "EURUSD.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_price_file(path, ReadOptions(**options))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_every_usual_kind_is_read_with_nothing_said(tmp_path, name):
    text, start, volume, words = FILES[name]
    bars = read(tmp_path, text)
    assert described(bars.format) == words
    assert bars.start_T[0] == np.datetime64(start)
    assert bars.start_T.dtype == np.dtype("datetime64[us]")
    assert [getattr(bars, f"{p}_T")[0] for p in PRICES] == [1.1, 1.4, 1.0, 1.2]
    assert bars.volume_T[0] == volume
    assert bars.row_T.tolist() == list(range(1, len(bars) + 1))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8-sig", b""), ("utf-16", b""), ("utf-16-le", b""), ("utf-16-be", b""),
     ("utf-16-be", b"\xfe\xff"), ("cp1252", b"")],
)  # fmt: skip
def test_encoding_compression_and_line_ends_change_nothing(tmp_path, name, encoding, mark):
    text = FILES[name][0]
    bars = read(tmp_path, text)
    content = mark + text.replace("\n", "\r\n").encode(encoding)
    other = read(tmp_path, gzip.compress(content))
    assert other.format.compression == "gzip"
    for field in ("start", *PRICES, "volume", "row"):
        assert (getattr(other, f"{field}_T") == getattr(bars, f"{field}_T")).all(), field


@pytest.mark.parametrize("part", ["Volume €", "Volume é"])
def test_windows_text_is_read_where_utf_8_fails(tmp_path, part):
    bars = read(tmp_path, FILES["Yahoo"][0].replace("Volume", part).encode("cp1252"))
    assert bars.format.encoding == "cp1252"
    assert bars.format.ignored == ("Adj Close", part)


def test_the_format_says_which_columns_are_read_and_which_are_not(tmp_path):
    found = read(tmp_path, FILES["Binance klines"][0]).format
    assert found.columns == {
        "time": "column 1", "open": "column 2", "high": "column 3",
        "low": "column 4", "close": "column 5", "volume": "column 6",
    }  # fmt: skip
    assert found.ignored == tuple(f"column {i}" for i in range(7, 13))
    split = read(tmp_path, FILES["MetaTrader 5, export with tabs"][0]).format
    assert split.columns["time"] == "<DATE> + <TIME>"
    assert (split.columns["volume"], split.ignored) == ("<TICKVOL>", ("<VOL>", "<SPREAD>"))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("volume,tick_volume,vol", "volume"),
        ("<VOL>,tick volume,real_volume", "tick volume"),
        ("real_volume,v", "v"),
        ("Volume USDT,real_volume", "real_volume"),
        ("Volume_(BTC),Volume_(Currency)", "Volume_(BTC)"),
        ("quote_volume,close time", None),
    ],
)
def test_of_several_volumes_the_first_in_rank_is_taken(tmp_path, names, chosen):
    cells = ",9" * (names.count(",") + 1)
    found = read(tmp_path, f"time,open,high,low,close,{names}\n2020-01-02,1,1,1,1{cells}\n").format
    assert found.columns.get("volume") == chosen
    assert len(found.ignored) == cells.count(",") - (chosen is not None)


def test_empty_cells_are_kept_for_the_checks_and_rows_keep_their_numbers(tmp_path):
    text = "time,open,high,low,close\n2020-01-02,,nan,NULL,-\n\n,1, 2 ,1,1e0\n,,,,\n\n"
    bars = read(tmp_path, text)
    assert bars.row_T.tolist() == [1, 3]
    assert np.isnan([bars.open_T[0], bars.high_T[0], bars.low_T[0], bars.close_T[0]]).all()
    assert np.isnat(bars.start_T[1])
    assert (bars.high_T[1], bars.close_T[1]) == (2, 1)


@pytest.mark.parametrize(
    ("cells", "options", "value"),
    [
        ("1 234,5;2", {}, 1234.5), ("1.234,5;2", {}, 1234.5), ("1,234.5;2", {}, 1234.5),
        ("1'234.5;2", {}, 1234.5), ("1,234,567;2", {}, 1234567), ("0,234;2", {}, 0.234),
        ("1,234;2.5", {}, 1234), ("1,234;2,5", {}, 1.234), ("1,234;2", {"decimal": ","}, 1.234),
        ("1,234;2", {"decimal": "."}, 1234), ("1.234;2", {}, 1.234),
        ("1.234;2", {"decimal": ","}, 1234),
    ],
)  # fmt: skip
def test_decimal_commas_and_thousands_are_told_apart_where_they_can_be(
    tmp_path, cells, options, value
):
    bars = read(tmp_path, f"time;open;high;low;close\n2020-01-02;{cells};2;2\n", **options)
    assert bars.open_T[0] == value


def test_what_is_set_comes_before_what_would_be_found(tmp_path):
    text = "a,b,c,d,e\n05/04/2020,1,4,1,2\n"
    columns = {"time": "A", "open": 2, "high": "c", "low": 4, "close": "e", "volume": None}
    bars = read(tmp_path, text, time_format="%d/%m/%Y", columns=columns)
    assert (bars.start_T[0], bars.close_T[0]) == (np.datetime64("2020-04-05"), 2)
    both = FILES["Yahoo"][0]
    assert read(tmp_path, both, columns={"close": "Adj Close"}).close_T[0] == 0.9
    assert read(tmp_path, both, columns={"volume": 0}).volume_T[0] == 0
    headed = read(tmp_path, FILES["MetaTrader 4, history centre"][0], header=False, separator=",")
    assert len(headed) == 2


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series(["2020-01-02T09:00"]), "%Y-%m-%dT%H:%M"),
        (pl.Series([1577955600]), "seconds since 1970"),
        (pl.Series([1577955600.0]), "seconds since 1970"),
        (pl.Series([1577955600 * 10**9]), "nanoseconds since 1970"),
        (pl.Series(np.array(["2020-01-02T09:00"], "datetime64[ns]")), "timestamps"),
        (pl.Series([202001020900]), "%Y%m%d%H%M"),
    ],
)
@pytest.mark.parametrize("name", ["time", "__index_level_0__"])
def test_parquet_times_may_be_of_any_type(tmp_path, column, words, name):
    frame = pl.DataFrame({p: [1.5] for p in PRICES}).with_columns(column.alias(name))
    frame.write_parquet(tmp_path / "EURUSD.csv")
    bars = read_price_file(tmp_path / "EURUSD.csv", ReadOptions())
    assert bars.start_T[0] == np.datetime64("2020-01-02T09:00")
    assert (bars.format.kind, bars.format.encoding) == ("Parquet", None)
    assert bars.format.time_format.startswith(words)


def test_parquet_dates_and_clocks_may_stand_apart(tmp_path):
    moment = pl.Series(np.array(["2020-01-02T09:00"], "datetime64[us]"))
    frame = pl.DataFrame({p: [1.5] for p in PRICES})
    frame = frame.with_columns(Date=moment.dt.date(), Time=moment.dt.time())
    frame.write_parquet(tmp_path / "EURUSD.parquet")
    bars = read_price_file(tmp_path / "EURUSD.parquet", ReadOptions())
    assert bars.start_T[0] == np.datetime64("2020-01-02T09:00")


SPELLED = st.sampled_from(
    ["%Y-%m-%d %H:%M:%S", "%Y.%m.%d %H:%M:%S", "%Y%m%d %H%M%S", "%d.%m.%Y %H:%M:%S", "%s",
     "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %I:%M:%S %p"],
)  # fmt: skip


@given(
    seed=st.integers(0, 99),
    spelled=SPELLED,
    separator=st.sampled_from("\t;|,"),
    comma=st.booleans(),
    header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    packed=st.booleans(),
)
def test_bars_written_in_any_way_are_read_back(
    tmp_path_factory, random_bars, seed, spelled, separator, comma, header, encoding, packed
):
    bars, decimal = random_bars(seed, 40), "," if comma and separator != "," else "."
    start = pl.Series(bars.start_T)
    is_epoch = spelled == "%s"
    frame = pl.DataFrame(
        {"time": start.dt.epoch("s") if is_epoch else start.dt.strftime(spelled)}
        | {p: [f"{x:.6f}".replace(".", decimal) for x in getattr(bars, f"{p}_T")] for p in PRICES}
    )
    text = frame.write_csv(separator=separator, include_header=header)
    content = text.encode(encoding)
    again = read(tmp_path_factory.mktemp("any"), gzip.compress(content) if packed else content)
    assert (again.start_T == bars.start_T).all()
    for price in PRICES:
        np.testing.assert_allclose(
            getattr(again, f"{price}_T"), getattr(bars, f"{price}_T"), rtol=0, atol=5.1e-7
        )


@pytest.mark.skipif(not RAW.is_dir(), reason=f"{RAW} does not exist")
@pytest.mark.parametrize(
    ("name", "n_rows", "first", "kind"),
    [
        ("mt4_headerless/EURUSD60.csv", 3070, "2013-11-29T12:00", "MetaTrader without header"),
        ("mt4_header/EURUSD60.csv", 3728, "2019-02-15T14:00", "MetaTrader"),
        ("dukascopy_ask/FOREX_EURUSD_1H_ASK.csv", 6225, "2017-01-01T22:00", "Dukascopy"),
    ],
)
def test_files_as_their_sources_ship_them_are_read(name, n_rows, first, kind):
    bars = read_price_file(RAW / name, ReadOptions())
    assert (len(bars), bars.format.kind) == (n_rows, kind)
    assert bars.start_T[0] == np.datetime64(first)
    assert (np.diff(bars.start_T) > np.timedelta64(0)).all()
    assert ((bars.high_T >= bars.close_T) & (bars.low_T <= bars.open_T) & (bars.low_T > 1)).all()
    assert bars.volume_T.min() > 0


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("Datum;Zeit;open;high;low;last", "21.03.2019;03:00;1,1;1,2;1,0;1,15"),
        ("time,open,high,low,close,last", "3/21/19 3:00,1.1,1.2,1.0,1.15,9"),
    ],
)
def test_german_names_a_last_price_and_years_of_two_digits_are_read(tmp_path, head, row):
    bars = read(tmp_path, f"{head}\n{row}\n".encode())
    assert bars.start_T[0] == np.datetime64("2019-03-21T03:00")
    assert bars.close_T[0] == 1.15
    assert "volume" not in bars.format.columns
