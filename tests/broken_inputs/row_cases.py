"""Bars whose rows, columns, times or names cannot be used."""

import polars as pl

from tests.broken_inputs.case import Case
from tests.broken_inputs.rows import PRICES, bars, replaced, text

HEADER = ",".join(("time", *PRICES)) + "\n"
LONG = 2000  # bars that are enough to train on
KNOWN = text().splitlines(keepends=True)


def encoded(*lines):
    return "".join(lines).encode()


def with_prices(change, frame=None):
    return text((bars() if frame is None else frame).with_columns(**change)).encode()


def mixed(first, second, at=120):
    head, tail = bars()[:at], bars()[at:]
    return (text(head, first) + text(tail, second, names=None)).encode()


def two_epochs():
    head = bars().with_columns(pl.col("time").dt.epoch("s"))[:120]
    tail = bars().with_columns(pl.col("time").dt.epoch("ms"))[120:]
    return pl.concat([head, tail]).write_csv().encode()


def through_autumn(n_rows):
    """Return bars on the clock of Helsinki, which shows 03:00 twice on 31 October 2010."""
    frame = bars(n_rows).with_columns(pl.col("time").dt.offset_by("297d"))
    times = pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Helsinki")
    return frame.with_columns(time=times.dt.strftime("%Y-%m-%d %H:%M")).write_csv().encode()


def skipped_hour():
    return (HEADER + "2020-03-29 01:00,1,1,1,1,1\n2020-03-29 02:30,1,1,1,1,1\n").encode()


def wide(n_columns, frame):
    lines = text(frame).splitlines()
    names = "," + ",".join(f"c{at}" for at in range(n_columns))
    zeros = ",0" * n_columns
    return ("\n".join([lines[0] + names, *(line + zeros for line in lines[1:])]) + "\n").encode()


def rising():
    level = 1 + pl.int_range(pl.len()) / 1000
    prices = {"open": level, "close": level + 0.001, "low": level - 0.0002, "high": level + 0.0012}
    return with_prices(prices, bars(LONG))


def times_only(template):
    frame = bars().with_row_index("row")
    shown = frame.with_columns(time=pl.format(template, pl.col("row"))).drop("row")
    return shown.write_csv().encode()


CASES = [
    Case("HEADER.csv", "a header and nothing else", HEADER.encode(), ("no rows", "below its h")),
    Case("ONEROW.csv", "one row", encoded(*KNOWN[:2]), ("1 usable bar", "at least 2")),
    Case("FEWROWS.csv", "too few rows to train on", encoded(*KNOWN[:100]),
         ("0 labelled rows", "split.min_rows")),
    Case("TILDES.csv", "a separator that nobody uses", text(separator="~").encode(),
         ("no separator", "data.separator")),
    Case("TWOSEPS.csv", "semicolons below, commas above",
         encoded(*KNOWN[:120], *(line.replace(",", ";") for line in KNOWN[120:])),
         ("row 120", "number of fields is 1", "expected 6")),
    Case("APPENDED.csv", "two exports one below the other, headers and all",
         encoded(*KNOWN[:120], HEADER, *KNOWN[120:]),
         ("row 120", "column time", "the header again", "take the line out")),
    Case("UNITS.csv", "a second header line with units",
         encoded(HEADER, "[UTC],[USD],[USD],[USD],[USD],[lots]\n", *KNOWN[1:]),
         ("row 1", "'[UTC]'", "not a time")),
    Case("RAGGED.csv", "a row with a field too many", replaced(40, "close", "1.1,1.2"),
         ("row 40", "number of fields is 7", "expected 6")),
    Case("CUTROW.csv", "the last row cut off", text().encode()[:-20],
         ("row 240", "number of fields", "cut off?")),
    Case("QUOTES.csv", "a quotation mark without its second", replaced(40, "close", '"1.1'),
         ("row 40", "column close", "expected a price")),
    Case("QUOTEPAIR.csv", "two quotation marks that swallow lines",
         replaced(40, "close", '"1.1').replace(b"2010-01-08 00:00", b'"2010-01-08 00:00'),
         ("row 40", "number of fields", "expected 6")),
    Case("NOCLOSE.csv", "no close", bars().drop("close").write_csv().encode(),
         ("no column close", "data.columns.close")),
    Case("TWOCLOSES.csv", "two columns that could be the close",
         bars().with_columns(Close=pl.col("close")).write_csv().encode(),
         ("close and Close", "data.columns.close=5")),
    Case("NOTIMES.csv", "no time", bars().drop("time").write_csv().encode(),
         ("no column time", "data.columns.time")),
    Case("SWAPPED.csv", "high and low under each other's names",
         text(names=("time", "open", "low", "high", "close", "volume")).encode(),
         ("high and low look swapped", "data.columns")),
    Case("LONGLINE.csv", "a line of 5 MB", encoded(*KNOWN[:40], "1" * 5_000_000, "\n", *KNOWN[40:]),
         ("row 40", "number of fields is 1", "expected 6")),
    Case("LONGCELL.csv", "a price of a million digits", replaced(40, "close", "1" * 1_000_000),
         ("row 40", "column close", "expected a price")),
    Case("LONGWORD.csv", "a word of a million letters for a price",
         replaced(40, "close", "x" * 1_000_000), ("row 40", "column close", "expected a price")),
    Case("COMMAS.csv", "a million columns", b"," * 1_000_000 + b"x\n", ("columns", "at most")),
    Case("WIDE.csv", "10,000 columns that are not needed", wide(10_000, bars(1700)), (),
         used=True),
    Case("LETTER.csv", "a letter among digits", replaced(40, "close", "1.1O5"),
         ("row 40", "column close", "'1.1O5'", "expected a price above 0")),
    Case("HASHES.csv", "the hashes of a narrow Excel column", replaced(40, "close", "#####"),
         ("row 40", "column close", "widen it")),
    Case("FORMULA.csv", "a formula among prices", replaced(40, "close", "=1+cmd|'/C calc'!A0"),
         ("row 40", "column close", "=1+cmd|'/C calc'!A0", "expected a price above 0")),
    Case("ATSUM.csv", "a formula for a volume", replaced(40, "volume", "@SUM(A1)"),
         ("row 40", "column volume", "'@SUM(A1)'", "expected a volume")),
    Case("FORMULANAME.csv", "a formula for the name of a column that is not needed",
         bars(LONG).with_columns(pl.lit(0).alias("=HYPERLINK(A1)")).write_csv().encode(), (),
         used=True),
    Case("NANS.csv", "NaN for prices", replaced(40, "close", "NaN"),
         ("row 40", "column close", "nan, expected a price above 0", "data.max_dropped")),
    Case("INFINITE.csv", "an infinite price", replaced(40, "high", "inf"),
         ("row 40", "column high", "inf, expected a price above 0")),
    Case("OVERFLOW.csv", "a price beyond any number", replaced(40, "high", "1e999"),
         ("row 40", "column high", "expected a price above 0")),
    Case("COLOSSAL.csv", "a price that no sum can hold", replaced(40, "high", "1e300"),
         ("row 40", "column high", "1e+300, expected a price above 0 and up to 1e+100")),
    Case("NEGATIVE.csv", "negative prices", with_prices({"low": -pl.col("low")}),
         ("row 1", "column low", "expected a price above 0", "240 of 240")),
    Case("ZEROS.csv", "prices of zero", replaced(40, "open", "0"),
         ("row 40", "column open", "0, expected a price above 0")),
    Case("HIGHLOW.csv", "a high below the low", replaced(40, "high", "0.5"),
         ("row 40", "column high", "0.5 is below low")),
    Case("OUTSIDE.csv", "a close above the high", replaced(40, "close", "9.5"),
         ("row 40", "column close", "9.5 lies outside low")),
    Case("NEGVOLUME.csv", "a negative volume", replaced(40, "volume", "-3"),
         ("row 40", "column volume", "-3, expected a volume of 0 or more")),
    Case("MILLIONS.csv", "a volume in millions, with the letter", replaced(40, "volume", "4M"),
         ("row 40", "column volume", "'4M', expected a volume")),
    Case("COMMAPRICE.csv", "commas for decimals and for columns",
         text().replace(".", ",").encode(), ("row 1", "number of fields")),
    Case("THOUSANDS.csv", "a comma that is a decimal sign or parts thousands",
         (HEADER.replace(",", ";") + "2020-01-02;161,234;161,235;161,233;161,234;1\n").encode(),
         ("column open", "'161,234'", "data.decimal")),
    Case("MIXEDDATES.csv", "two formats of dates", mixed("%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M"),
         ("row 121", "is not a time such as 2010-", "data.time_format")),
    Case("MONTHDAY.csv", "days that could be months",
         text(bars(2400).filter(pl.col("time").dt.day() <= 10), "%d/%m/%Y %H:%M").encode(),
         ("column time", "may be day or month first", "data.time_format=")),
    Case("NOON.csv", "a word for a time", replaced(40, "time", "noon"),
         ("row 40", "column time", "'noon", "is not a time such as", "data.time_format")),
    Case("HOUR25.csv", "an hour that no day has", replaced(40, "time", "2010-01-02 25:00"),
         ("row 40", "column time", "'2010-01-02 25:00'", "is not a time")),
    Case("NOTIME.csv", "a row without its time", replaced(40, "time", ""),
         ("row 40", "column time", "is empty, expected a time")),
    Case("DATESONLY.csv", "dates without their hours", text(times="%Y-%m-%d").encode(),
         ("column time", "holds only dates", "data.columns.date")),
    Case("FUTURE.csv", "dates a hundred years ahead", text().replace("2010-", "2110-").encode(),
         ("row 1", "column time", "in the future", "wrong year")),
    Case("ANTIQUE.csv", "years of the Roman empire", text().replace("2010-", "0020-").encode(),
         ("row 1", "column time", "'0020-", "is not a time")),
    Case("EPOCHDAYS.csv", "days since 1970, as no clock counts",
         times_only("{}").replace(b"\n0,", b"\n14610,"), ("column time", "seconds since 1970")),
    Case("TWOEPOCHS.csv", "seconds, then milliseconds since 1970", two_epochs(),
         ("row 1", "column time", "write all in one unit")),
    Case("EXCELDATES.csv", "Excel's serial dates", times_only("4{}.5"),
         ("column time", "expected")),
    Case("OFFSETS.csv", "times with an offset, then times without",
         mixed("%Y-%m-%dT%H:%M:%S+02:00", "%Y-%m-%dT%H:%M:%S"),
         ("row 121", "column time", "is not a time such as", "data.time_format")),
    Case("TWICEHOUR.csv", "local times with a repeated hour, their clock not said",
         through_autumn(240), ("column time", "a second, different bar at 2010-10-31 03:00")),
    Case("AUTUMN.csv", "the same file with its clock said", through_autumn(LONG), (), used=True,
         options=(("time_zone", "Europe/Helsinki"),)),
    Case("SPRING.csv", "an hour that its clock never shows", skipped_hour(),
         ("row 2", "column time", "does not exist on the clock", "data.time_zone"),
         options=(("time_zone", "Europe/Berlin"),)),
    Case("CONFLICT.csv", "two different bars at one time",
         encoded(*KNOWN[:41], KNOWN[40][:16] + KNOWN[39][16:], *KNOWN[41:]),
         ("row 41", "column time", "a second, different bar")),
    Case("CHANGING.csv", "hourly bars, then bars of four hours",
         text(pl.concat([bars(LONG)[:1000], bars(LONG)[1000::4]])).encode(),
         ("bars of more than one length", "keep a file per bar length")),
    Case("REPEATED.csv", "every tenth row twice",
         text(pl.concat([bars(LONG), bars(LONG).gather_every(10)]).sort("time")).encode(),
         ("repeated",), used=True),
    Case("NEWEST.csv", "newest first", text(bars(LONG).reverse()).encode(), (), used=True),
    Case("SHUFFLED.csv", "rows in any order",
         text(bars(LONG).sample(fraction=1, shuffle=True, seed=1)).encode(), (), used=True),
    Case("NOVOLUME.csv", "zero volume throughout",
         text(bars(LONG).with_columns(volume=pl.lit(0.0))).encode(), (), used=True),
    Case("FLAT.csv", "one price throughout",
         with_prices({name: pl.lit(1.5) for name in PRICES[:4]}, bars(LONG)),
         ("0 labelled rows", "split.min_rows")),
    Case("RISING.csv", "prices that only rise", rising(), ("0 labelled rows", "split.min_rows")),
    Case("CON.csv", "a name that Windows keeps for a device", text(bars(LONG)).encode(), (),
         used=True),
]  # fmt: skip

NAMES = [
    Case("A..\\..\\etc.csv", "a name that climbs out of its folder", b"x", ("cannot be a symbol",)),
    Case("%2e%2e%2fA.csv", "the same, as an address spells it", b"x", ("cannot be a symbol",)),
    Case("EUR\nUSD.csv", "a name of two lines", b"x", (r"EUR\nUSD.csv", "cannot be a symbol")),
    Case("EUR\x1b[2JUSD.csv", "a name that clears the screen", b"x", (r"\x1b[2J", "cannot be")),
    Case("EUR\u202eUSD.csv", "a name written from right to left", b"x", (r"\u202e", "cannot be")),
    Case("EUR\udcff.csv", "a name that is no UTF-8", b"x", (r"EUR\xff", "cannot be a symbol")),
    Case("L" * 200 + ".csv", "a name of 200 letters", b"x", ("cannot be a symbol", "at most 64")),
    Case("=1+1.csv", "a formula for a name", b"x", ("'=1+1' cannot be a symbol",)),
    Case("@SUM(A1).csv", "another", b"x", ("'@SUM(A1)' cannot be a symbol",)),
    Case("-2+3.csv", "a third", b"x", ("'-2+3' cannot be a symbol",)),
    Case("EUR USD.csv", "a blank in a name", b"x", ("'EUR USD' cannot be a symbol",)),
]
