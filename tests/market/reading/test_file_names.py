"""What a file's name says of its symbol and its bars, and which files of a folder count."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import DataError
from market.reading.file_names import bar_length, named, price_files
from market.reading.safe_names import SYMBOL, printable, symbol_keys

MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440, "1w": 10_080, None: None}
NAMES = {
    "EURUSD.parquet": ("EURUSD", None),
    "EURUSD_H1.csv": ("EURUSD", "1h"),
    "EURUSDh1.csv": ("EURUSD", "1h"),
    "EURUSD60.csv": ("EURUSD", "1h"),
    "EURUSDm60.csv": ("EURUSDm", "1h"),
    "eurusd1440.csv": ("eurusd", "1d"),
    "EURUSD10080.csv": ("EURUSD", "1w"),
    "EURUSD43200.csv": ("EURUSD", None),
    "XAUUSD5.csv": ("XAUUSD", "5m"),
    "ADAUSDT240.csv": ("ADAUSDT", "4h"),
    "EURUSD-1h.csv": ("EURUSD", "1h"),
    "EURUSD15m.txt": ("EURUSD", "15m"),
    "EURUSD.H1.csv.gz": ("EURUSD", "1h"),
    "EURUSD_MN1.csv": ("EURUSD", None),
    "EURUSD_1M.csv": ("EURUSD", None),
    "EURUSD_15M.csv": ("EURUSD", "15m"),
    "EURUSD_Daily.tsv": ("EURUSD", "1d"),
    "EURUSD_H1 (1).csv": ("EURUSD", "1h"),
    "EURUSD_H1_202001010000_202012312300.csv": ("EURUSD", "1h"),
    "FOREX_EURUSD_1H_ASK.csv": ("EURUSD", "1h"),
    "EURUSD_Candlestick_1_Hour_BID_01.01.2017-31.12.2017.csv": ("EURUSD", "1h"),
    "EURUSD_Candlestick_15_M_BID_01.01.2017-31.12.2017.csv": ("EURUSD", "15m"),
    "EURUSD_Candlestick_5_Mins_ASK_01.01.2017-31.12.2017.csv": ("EURUSD", "5m"),
    "EURUSD_1 Hour_Bid_2017.01.01_2018.01.01.csv": ("EURUSD", "1h"),
    "eurusd-h1-bid-2020-01-01-2021-01-01.csv": ("eurusd", "1h"),
    "Binance_BTCUSDT_1h.csv": ("BTCUSDT", "1h"),
    "Bitstamp_BTCUSD_d.csv": ("BTCUSD", "1d"),
    "BTCUSDT-1m-2020-01.csv": ("BTCUSDT", "1m"),
    "OANDA_EURUSD, 60.csv": ("EURUSD", "1h"),
    "BINANCE_BTCUSDT, 1D_0a1b2.csv": ("BTCUSDT", "1d"),
    "DAT_ASCII_EURUSD_M1_2019.csv": ("EURUSD", "1m"),
    "US30.csv": ("US30", None),
    "US30_H1.csv": ("US30", "1h"),
    "US30H1.csv": ("US30", "1h"),
    "NAS100M15.csv": ("NAS100", "15m"),
    "Germany30.csv": ("Germany30", None),
    "ESH1.csv": ("ESH1", None),
    "MESM5.csv": ("MESM5", None),
    "EURUSD.a_H4.csv": ("EURUSD.a", "4h"),
    "BRK.B.D1.csv": ("BRK.B", "1d"),
    "EURUSD_2019.csv": ("EURUSD_2019", None),
    "FOREX.csv": ("FOREX", None),
    "H1.csv": ("H1", None),
    "a b.csv": ("a b", None),
}
PLAIN = ["US30", "GER30", "US500", "SPX500", "NAS100", "UK100", "JP225", "EURUSD", "EURUSD.a",
         "EURUSDm", "EURUSD.pro", "#AAPL", "BRK.B",
         "BTC-USD", "XAUUSD", "6E", "eurusd"]  # fmt: skip
SYMBOLS = st.sampled_from(PLAIN) | st.from_regex(r"[A-Z]{6}", fullmatch=True)
SPELLED = {
    "1m": ["M1", "m1", "1m", "1min", "1_Min"], "15m": ["M15", "15m", "15min", "15_Mins"],
    "1h": ["H1", "h1", "1h", "1H", "60min", "1_Hour", "Hourly"], "4h": ["H4", "4h", "4_Hours"],
    "1d": ["D1", "1d", "1D", "daily"], "1w": ["W1", "1w", "Weekly"],
}  # fmt: skip
LENGTHS = st.sampled_from([(words, text) for words, texts in SPELLED.items() for text in texts])
ENDINGS = st.sampled_from([".csv", ".CSV", ".txt", ".tsv", ".parquet", ".csv.gz", ".Parquet.GZ"])
TAILS = st.sampled_from(["", "_BID", "_ask", "_2019", "_202001010000_202012312300", "-2020-01"])


def minutes(length):
    return None if length is None else int(length / np.timedelta64(1, "m"))


@pytest.mark.parametrize("name", NAMES)
def test_symbol_and_length_are_read_from_the_names_in_use(name):
    symbol, words = NAMES[name]
    found = named(Path("folder") / name, None)
    assert (found.symbol, minutes(found.length)) == (symbol, MINUTES[words])


@given(symbol=SYMBOLS, length=LENGTHS, sign=st.sampled_from("_-. "), tail=TAILS, ending=ENDINGS)
def test_a_length_behind_a_sign_is_found_and_the_symbol_kept(symbol, length, sign, tail, ending):
    words, text = length
    found = named(Path(f"{symbol}{sign}{text}{tail}{ending}"), None)
    assert (found.symbol, minutes(found.length)) == (symbol, MINUTES[words])


@given(symbol=SYMBOLS, ending=ENDINGS)
def test_a_symbol_alone_is_a_symbol(symbol, ending):
    assert named(Path(f"{symbol}{ending}"), None) == (symbol, None)


@given(name=st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name))
def test_any_name_is_a_symbol_which_names_itself(name):
    symbol, _ = named(Path(f"{name}.csv"), None)
    assert symbol
    assert symbol in name


@given(
    letters=st.text("EURSXAJ", min_size=1, max_size=5),
    count=st.sampled_from(["15", "30", "60", "1"]),
)
def test_a_number_behind_fewer_than_six_letters_is_part_of_the_symbol(letters, count):
    assert named(Path(f"{letters}{count}.csv"), None) == (f"{letters}{count}", None)


def test_a_pattern_comes_before_everything_that_would_be_found():
    pattern = r"x_(?P<symbol>\w+)_(?P<length>\d+)"
    assert named(Path("x_EURUSD_H1_60.csv.gz"), pattern) == ("EURUSD_H1", np.timedelta64(1, "h"))
    assert named(Path("EURUSD_H1.csv"), "(?P<symbol>.*)") == ("EURUSD_H1", None)
    with pytest.raises(DataError, match=r"^US30\.csv: data\.name_pattern=x_.* does not fit"):
        named(Path("US30.csv"), pattern)
    with pytest.raises(DataError, match=r"length must be such as H1, 15m or Daily, was '7'$"):
        named(Path("x_EURUSD_7.csv"), pattern)


@pytest.mark.parametrize("pattern", ["(", "(?P<name>.*)"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern):
    with pytest.raises(ValueError, match=f"^name_pattern {re.escape(repr(pattern))} "):
        named(Path("US30.csv"), pattern)


def test_a_length_that_is_none_is_refused():
    for text in ("", "7", "H", "h1h", "1x"):
        with pytest.raises(ValueError, match=r"^length must be such as H1"):
            bar_length(text)


def test_the_price_files_of_a_folder_are_listed_by_symbol(tmp_path):
    for name in ("EURUSD_H1.csv", "EURUSD.parquet", "US30.TXT", "x.tsv.gz", "README.txt",
                 "license.txt", ".hidden.csv", "notes.md", "a.gz"):  # fmt: skip
        (tmp_path / name).touch()
    files = price_files(tmp_path, None)
    assert sorted(files) == ["EURUSD", "US30", "x"]
    assert [file.path.name for file in files["EURUSD"]] == ["EURUSD.parquet", "EURUSD_H1.csv"]
    assert [minutes(file.length) for file in files["EURUSD"]] == [None, 60]
    assert list(price_files(tmp_path, "(?P<symbol>U.*)")) == ["US30"]


@given(names=st.sets(st.text(st.characters(exclude_characters="/\0"), max_size=80), max_size=8))
def test_every_name_is_listed_under_a_symbol_of_its_own(names):
    keys = symbol_keys(names)
    assert keys.keys() == names
    assert len(set(keys.values())) == len(names)
    assert all(SYMBOL.fullmatch(key) for key in keys.values())
    assert all(keys[name] == name for name in names if SYMBOL.fullmatch(name))
    assert all(printable(name).isprintable() for name in names)


def test_one_file_may_stand_for_a_folder(tmp_path):
    (tmp_path / "EURUSD60.dat").touch()
    (tmp_path / "EURUSD60.csv").touch()
    assert list(price_files(tmp_path / "EURUSD60.csv", None)) == ["EURUSD"]
    assert list(price_files(tmp_path / "EURUSD60.dat", None)) == ["EURUSD60.dat"]


def test_a_folder_that_is_missing_or_holds_no_price_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"/nowhere: no such folder$"):
        price_files(tmp_path / "nowhere", None)
    with pytest.raises(DataError, match=r": no \.parquet or \.csv file named after a symbol$"):
        price_files(tmp_path, None)


def test_notes_are_no_price_files_and_archives_are_to_be_unpacked(tmp_path):
    for name in ("notes.txt", "Info.txt", "index.txt", "ETHUSDT.zip", "GBPUSD.xlsx"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        price_files(tmp_path, None)
    assert str(error.value).endswith("; unpack ETHUSDT.zip first; save GBPUSD.xlsx as CSV first")
    (tmp_path / "index.csv").touch()
    assert list(price_files(tmp_path, None)) == ["index"]
