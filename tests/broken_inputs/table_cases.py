"""Tables of features and labels that cannot be used, or look as if they could not."""

import gzip

import polars as pl

from tests.broken_inputs.case import Case
from tests.broken_inputs.packed_cases import (
    AGAIN,
    archive,
    arrow,
    as_dangling_link,
    as_folder,
    as_pipe,
    bomb,
    flipped,
    parquet_bomb,
)
from tests.broken_inputs.rows import parquet, table, table_replaced, table_text

LONG = 300  # rows that are enough to train on
PACKED = gzip.compress(table_text().encode(), 0, mtime=0)
PARQUET = parquet(table())


def changed(n_rows=240, **columns):
    return table_text(table(n_rows).with_columns(**columns)).encode()


def shown(n_rows=240, **columns):
    return parquet(table(n_rows).with_columns(**columns))


def oneclass():
    label = pl.col("label").clip(lower_bound=1)
    return table_text(table(LONG).with_columns(label)).encode()


def renamed(**names):
    return table_text(table().rename(names)).encode()


def header(first, other):
    return table_text().replace(first, other, 1).encode()


CASES = [
    Case("EMPTY.csv", "a file of 0 bytes", b"", ("empty file", AGAIN)),
    Case("HEADER.csv", "a header and nothing else", table_text().partition("\n")[0].encode(),
         ("holds no rows", )),
    Case("ONEROW.csv", "one row", table_text(table()[:1]).encode(),
         ("column label", "expected both 0 and 1")),
    Case("FOLDER.csv", "a folder where a file should be", as_folder, ("is a folder", "take it")),
    Case("DANGLING.csv", "a link to nothing", as_dangling_link, ("link", "nowhere.csv", "take")),
    Case("PIPE.csv", "a named pipe that nobody writes to", as_pipe, ("is a pipe", "expected a")),
    Case("PAGE.csv", "the web page of a failed download", b"<!DOCTYPE html><html></html>\n",
         ("web page", "download the file itself")),
    Case("WORKBOOK.csv", "an Excel workbook renamed to .csv",
         archive("xl/workbook.xml", b"<workbook/>"), ("Excel workbook", "save it as CSV")),
    Case("GZCUT.csv.gz", "gzip cut short", PACKED[: len(PACKED) // 2], ("gzip", "ended", AGAIN)),
    Case("GZCRC.csv.gz", "gzip with a wrong CRC", flipped(PACKED, -8, -4), ("CRC", AGAIN)),
    Case("GZBOMB.csv.gz", "a gzip bomb: 100 MB in 100 kB", lambda path:
         path.write_bytes(bomb(100 * 2**20)), ("gzip of more than 64 MiB in 0.", "unpack it")),
    Case("PQCUT.parquet", "Parquet with its tail cut off", PARQUET[:-700], ("parquet", AGAIN)),
    Case("PQBOMB.parquet", "a Parquet bomb: 50 million rows in few bytes", lambda path:
         path.write_bytes(parquet_bomb()), ("50,000,000 rows and 6 columns, 2.2 GiB", "look what")),
    Case("FEATHER.parquet", "Arrow (Feather) renamed to .parquet", arrow(), ("Arrow", "Parquet")),
    Case("NULS.csv", "a NUL byte in mid-file", table_text().encode().replace(
        b"2020-01-08", b"2020-\x00-08", 1), ("neither text nor Parquet", "expected")),
    Case("LATIN.csv", "a name in Windows-1252",
         table_text().replace("f0", "caf\u00e9", 1).encode("cp1252"),
         ("UTF-8",)),
    Case("SEMICOLONS.csv", "another separator", table_text().replace(",", ";").encode(),
         ("no column timestamp", "found")),
    Case("BARS.csv", "bars, not a table", b"time,open,high,low,close\n2020-01-02,1,1,1,1\n",
         ("no column timestamp", "data=bars")),
    Case("APPENDED.csv", "two exports one below the other",
         (table_text() + table_text(table(300)[240:])).encode(), ("row 241", "column timestamp")),
    Case("RAGGED.csv", "a row with a field too many", table_replaced(40, "f0", "1,2"),
         ("row 40",)),
    Case("NOLABEL.csv", "no labels", table_text(table().drop("label")).encode(),
         ("no column label",)),
    Case("LABELTWO.csv", "a label of 2", table_replaced(40, "label", "2"),
         ("row 40", "column label", "expected 0, 1 or empty")),
    Case("LABELWORD.csv", "a word for a label", table_replaced(40, "label", "win"),
         ("row 40", "column label", "'win'", "expected 0, 1 or empty")),
    Case("ENDBEFORE.csv", "a label known before its event",
         table_replaced(40, "label_end", "2019-01-01T00:00:00"),
         ("row 40", "column label_end", "expected a time from")),
    Case("NOEND.csv", "a label without its end", table_replaced(40, "label_end", ""),
         ("row 40", "column label_end", "empty")),
    Case("UNSORTED.csv", "rows newest first", table_text(table().reverse()).encode(),
         ("row 2", "column timestamp", "is not after the row before", "sort the file")),
    Case("TWICE.csv", "one time twice",
         table_text(pl.concat([table(), table()[239:]])).encode(),
         ("row 241", "column timestamp", "keep each time once")),
    Case("NOTIME.csv", "a row without its time", table_replaced(40, "timestamp", ""),
         ("row 40", "column timestamp", "is empty")),
    Case("AMBIGUOUS.csv", "a day that could be a month",
         table_replaced(40, "timestamp", "01/02/2020 10:00"),
         ("row 40", "column timestamp", "is not a time such as")),
    Case("FUTURE.csv", "a time in the future", table_text().replace("2020-", "2120-").encode(),
         ("row 1", "column timestamp", "in the future")),
    Case("LATEEND.csv", "a label that is known in the future",
         table_replaced(40, "label_end", "2120-01-01T00:00:00"),
         ("row 40", "column label_end", "in the future")),
    Case("EPOCHDAYS.csv", "days for times", changed(timestamp=pl.int_range(14000, 14240)),
         ("column timestamp", "expected times")),
    Case("NEGWEIGHT.csv", "a negative weight", table_replaced(40, "weight", "-1"),
         ("row 40", "column weight", "expected a number above 0")),
    Case("NOWEIGHT.csv", "a row without its weight", table_replaced(40, "weight", ""),
         ("row 40", "column weight", "empty")),
    Case("TWINS.csv", "two features of one name", header("f1", "f0"),
         ("column f0 is there twice", "keep one")),
    Case("NAMELESS.csv", "a feature without a name", header("f1", ""),
         ("column 3 has no name", "name it")),
    Case("CONTROLS.parquet", "a name with a line end and a colour", parquet(
        table().rename({"f1": "f\n1\x1b[31m"})), (r"f\n1\x1b[31m", "rename")),
    Case("LONGNAME.parquet", "a feature with a name of 5,000 letters", parquet(
        table().rename({"f1": "f" * 5000})), ("column 3", "rename")),
    Case("WORDS.csv", "a word among a feature's numbers", table_replaced(40, "f1", "high"),
         ("row 40", "column f1", "'high'", "expected a number")),
    Case("FORMULA.csv", "a formula among a feature's numbers", table_replaced(40, "f1", "=1+1"),
         ("row 40", "column f1", "'=1+1'", "expected a number")),
    Case("NANS.csv", "NaN for a feature", table_replaced(40, "f1", "NaN"),
         ("row 40", "column f1", "expected a finite number", "fill it")),
    Case("OVERFLOW.csv", "a feature beyond any number", table_replaced(40, "f1", "1e999"),
         ("row 40", "column f1", "expected a finite number")),
    Case("LISTS.parquet", "lists for a feature", shown(f1=pl.concat_list("f1")),
         ("column f1", "List", "expected a number")),
    Case("DATES.parquet", "dates for a feature", shown(f1=pl.col("timestamp").dt.date()),
         ("column f1", "Date", "expected a number")),
    Case("FAR.parquet", "a time outside the calendar",
         shown(timestamp=pl.lit(2**62).cast(pl.Datetime("ms"))),
         ("row 1", "column timestamp", "outside the years")),
    Case("NOFEATURE.csv", "labels and no feature", table_text(
        table().drop("f0", "f1", "f2")).encode(), ("no feature beside",)),
    Case("UNDECIDED.csv", "no label decided", changed(LONG, label=pl.lit(None)),
         ("0 labelled rows", "split.min_rows")),
    Case("ONECLASS.csv", "every label won", oneclass(),
         ("column label", "is 1 in every row", "expected both 0 and 1")),
    Case("TOOFEW.csv", "too few rows", table_text(table()[:60]).encode(),
         ("60 labelled rows", "split.min_rows")),
    Case("WIDE.parquet", "1,000 features for 200 rows", parquet(table(200, n_features=1_000)),
         (), used=True),
    Case("CONSTANT.csv", "a constant feature", changed(LONG, f1=pl.lit(5.0)), (), used=True),
    Case("ALLCONSTANT.csv", "constant features only",
         changed(LONG, f0=pl.lit(1.0), f1=pl.lit(5.0), f2=pl.lit(0.0)), (), used=True),
    Case("HUGE.csv", "features near the end of what a number can hold",
         changed(LONG, f1=pl.col("f1").sign() * 1e300), ("row 1", "column f1", "up to 3.4e+38")),
    Case("BRACKETS.csv", "names of features that XGBoost would refuse",
         table_text(table(LONG).rename({"f0": "a[0]", "f1": "b<2", "f2": "c]"})).encode(), (),
         used=True),
    Case("FORMULANAMES.csv", "names of features that are formulas",
         table_text(table(LONG).rename({"f0": "=1+1", "f1": "@SUM(A1)", "f2": "-2+3"})).encode(),
         (), used=True),
    Case("BOOLS.parquet", "truth values for labels and for a feature",
         shown(LONG, label=pl.col("label").cast(pl.Boolean), f1=pl.col("f1") > 0), (), used=True),
    Case("EUR USD.csv", "a blank in a name", b"x", ("'EUR USD' cannot be a symbol",)),
]  # fmt: skip
