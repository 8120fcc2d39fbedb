"""Bars in files that are cut, damaged, of another kind, or no files at all."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import pickle
import zipfile
import zlib

import polars as pl

from tests.broken_inputs.case import Case
from tests.broken_inputs.rows import bars, parquet, text

GOOD = text().encode()
# Stored, not packed: damage is found alike by every build of zlib.
PACKED = gzip.compress(GOOD, 0, mtime=0)
PARQUET = parquet(bars(), compression="zstd")
NOISE = b"".join(hashlib.sha256(bytes([part])).digest() for part in range(125))
AGAIN = "write or download it again"


def flipped(content, first, last):
    return content[:first] + bytes(byte ^ 0xFF for byte in content[first:last]) + content[last:]


def archive(name, content):
    """Return a zip archive of one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def bomb(n_bytes, unit=b"1,1\n"):
    """Return ``n_bytes`` of one line over and over, packed to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = unit * (2**20 // len(unit))
    packed = [packer.compress(block) for _ in range(n_bytes // len(block) + 1)]
    return b"".join([*packed, packer.flush()])


def parquet_bomb():
    """Return a Parquet file of 50 million rows and six columns in a few kilobytes."""
    names = ("time", "open", "high", "low", "close", "volume")
    frame = pl.select(pl.repeat(0, 50_000_000, dtype=pl.Int8).alias(name) for name in names[:1])
    frame = frame.select(pl.col("time").alias(name) for name in names)
    return parquet(frame, compression="zstd", compression_level=3)


def arrow():
    file = io.BytesIO()
    bars().write_ipc(file)
    return file.getvalue()


def as_folder(path):
    path.mkdir()


def as_dangling_link(path):
    path.symlink_to("nowhere.csv")


def as_loop(path):
    path.symlink_to(path.name)


def as_pipe(path):
    os.mkfifo(path)


def as_endless_device(path):
    path.symlink_to("/dev/zero")


CASES = [
    Case("EMPTY.csv", "a file of 0 bytes", b"", ("empty file", AGAIN)),
    Case("BLANKS.csv", "blank lines only", b"\n \r\n\n", ("empty file", AGAIN)),
    Case("SEPARATORS.csv", "separators only", b",,,,,\n,,,,,\n", ("empty file", AGAIN)),
    Case("FOLDER.csv", "a folder where a file should be", as_folder, ("is a folder", "take it")),
    Case("DANGLING.csv", "a link to nothing", as_dangling_link, ("link", "nowhere.csv", "take")),
    Case("LOOP.csv", "a link to itself", as_loop, ("link", "take")),
    Case("PIPE.csv", "a named pipe that nobody writes to", as_pipe, ("is a pipe", "expected a")),
    Case("DEVICE.csv", "a link to /dev/zero", as_endless_device, ("is a device", "expected a")),
    Case("UNREADABLE.csv", "a file that one may not read", GOOD,
         ("Permission denied", "give yourself the right"), readable=False),
    Case("PAGE.csv", "the web page of a failed download",
         b"<!DOCTYPE html><html><body>Not found</body></html>\n",
         ("web page", "download the file itself")),
    Case("OBJECT.csv", "JSON", b'{"bars": [{"open": 1.1}]}\n', ("JSON", "expected")),
    Case("WORKBOOK.csv", "an Excel workbook renamed to .csv",
         archive("xl/workbook.xml", b"<workbook/>"), ("Excel workbook", "save it as CSV")),
    Case("OLDBOOK.csv", "an old Excel workbook (.xls) renamed to .csv",
         b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), ("Excel workbook", "save it as CSV")),
    Case("ZIPPED.csv.gz", "a zip archive named .gz", archive("A.csv", GOOD), ("zip", "unpack")),
    Case("BZIP.csv.gz", "bzip2 named .gz", bz2.compress(GOOD), ("bzip2", "unpack it")),
    Case("XZ.csv.gz", "xz named .gz", lzma.compress(GOOD), ("xz", "unpack it")),
    Case("ZSTD.csv.gz", "Zstandard named .gz", b"\x28\xb5\x2f\xfd" + bytes(60), ("zstd", "unpack")),
    Case("SEVEN.csv", "a 7z archive", b"7z\xbc\xaf\x27\x1c" + bytes(60), ("7z", "unpack")),
    Case("RAR.csv", "a rar archive", b"Rar!\x1a\x07\x01\x00" + bytes(60), ("rar", "unpack")),
    Case("GZCUT.csv.gz", "gzip cut short", PACKED[: len(PACKED) // 2], ("gzip", "ended", AGAIN)),
    Case("GZCRC.csv.gz", "gzip with a wrong CRC", flipped(PACKED, -8, -4), ("CRC", AGAIN)),
    Case("GZBODY.csv.gz", "gzip with damaged data", PACKED[:10] + b"\x07" + PACKED[11:],
         ("gzip", AGAIN)),
    Case("GZTAIL.csv.gz", "gzip with something else behind it", PACKED + b"tail",
         ("gzip", AGAIN)),
    Case("GZBOMB.csv.gz", "a gzip bomb: 100 MB in 100 kB", lambda path:
         path.write_bytes(bomb(100 * 2**20)), ("gzip of more than 64 MiB in 0.", "unpack it")),
    Case("GZGZ.csv.gz", "gzip in gzip", gzip.compress(PACKED, mtime=0), ("gzip", "twice")),
    Case("PQCUT.parquet", "Parquet with its tail cut off", PARQUET[:-700], ("parquet", AGAIN)),
    Case("PQFOOT.parquet", "Parquet with garbage for a footer", flipped(PARQUET, -300, -8),
         ("cannot be read", AGAIN)),
    Case("PQPAGES.parquet", "Parquet with flipped column pages", flipped(PARQUET, 40, 900),
         ("cannot be read", AGAIN)),
    Case("PQKEY.parquet", "encrypted Parquet", b"PARE" + PARQUET[4:-4] + b"PARE",
         ("encrypted", "decrypt")),
    Case("PQBOMB.parquet", "a Parquet bomb: 50 million rows in few bytes", lambda path:
         path.write_bytes(parquet_bomb()), ("50,000,000 rows and 6 columns, 2.2 GiB", "look what")),
    Case("PQNONE.parquet", "Parquet without rows", parquet(bars().clear()),
         ("holds no rows", AGAIN)),
    Case("PQLIST.parquet", "Parquet with lists for prices",
         parquet(bars().with_columns(pl.concat_list("close"))), ("column close", "List")),
    Case("PQTEXT.parquet", "Parquet with a word among prices as text",
         parquet(bars().with_columns(close=pl.lit("x"))), ("row 1", "column close", "'x'")),
    Case("PQFAR.parquet", "Parquet with a time outside the calendar",
         parquet(bars().with_columns(pl.lit(2**62).cast(pl.Datetime("ms")).alias("time"))),
         ("row 1", "column time", "outside the years")),
    Case("FEATHER.parquet", "Arrow (Feather) renamed to .parquet", arrow(), ("Arrow", "Parquet")),
    Case("SQLITE.csv", "a SQLite database", b"SQLite format 3\x00" + bytes(84),
         ("neither text nor Parquet", "expected")),
    Case("PICKLE.csv", "a pickle, which could run code", pickle.dumps([1.5, "x"] * 9),
         ("neither text nor Parquet", "expected")),
    Case("NUMPY.csv", "a NumPy array", b"\x93NUMPY\x01\x00" + bytes(120),
         ("neither text nor Parquet", "expected")),
    Case("NOISE.csv", "bytes that look encrypted",
         NOISE, ("neither text nor Parquet", "expected")),
    Case("NULS.csv", "a NUL byte in mid-file", GOOD[:5000] + b"\0" + GOOD[5001:],
         ("neither text nor Parquet", "expected")),
    Case("HOLES.csv", "a tail of NULs, as a crash leaves it", GOOD[:6000] + bytes(2000),
         ("neither text nor Parquet", "expected")),
    Case("LONEBYTE.csv", "a byte of no encoding in mid-file",
         GOOD[:5000] + b"\x81" + GOOD[5001:], ("neither text nor Parquet", "expected")),
    Case("HALFCHAR.csv", "UTF-16 that ends in half a character", text().encode("utf-16")[:-1],
         ("utf-16", "data.encoding")),
    Case("WRONGCODE.csv", "UTF-8 read as UTF-16, because so it is set", GOOD[:-1],
         ("utf-16-be", "data.encoding"), options=(("encoding", "utf-16-be"),)),
    Case("NOMARK.csv", "UTF-16 without a byte order mark", text(bars(2000)).encode("utf-16-le"),
         (), used=True),
    Case("TWOMARKS.csv", "two byte order marks", b"\xef\xbb\xbf" * 2 + text(bars(2000)).encode(),
         (), used=True),
    Case("MIXEDENDS.csv", "three kinds of line ends", text(bars(2000)).replace(
        "0\n", "0\r\n").replace("1\n", "1\r").encode(), (), used=True),
]  # fmt: skip
