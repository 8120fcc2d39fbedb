"""From the bytes of a file to its text: compression and encoding, found by content."""

import gzip
import io
import zlib

from market.bars import DataError
from market.reading.file_bytes import MOST_BYTES

GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
AGAIN = "write or download it again"
EMPTY = f"empty file; {AGAIN}"
EXPECTED = "expected text or Parquet"
# What is known by its first bytes to be something else, and what to do with it.
OTHERS = {
    ZIP: "a zip archive or an Excel workbook; unpack it, or save it as CSV",
    b"PK\x05\x06": "an empty zip archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook; save it as CSV",
    b"BZh": "packed by bzip2; unpack it",
    b"\xfd7zXZ\x00": "packed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!\x1a\x07": "a rar archive; unpack it",
    b"PARE": "encrypted Parquet; decrypt it",
    b"ARROW1": "an Arrow (Feather) file; save it as Parquet",
    GZIP: "packed twice by gzip; unpack it",
}
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\v") | {127}
SEEN = 4096
# How much may come out of a gzip file, in bytes and at most so many times its size. Prices in text
# pack to a tenth, columns that are nearly always 0 to a three-hundredth.
FREE_BYTES, RATIO, HIGH_BYTES, HIGH_RATIO = 64 * 2**20, 100, 2**30, 500
AT_A_TIME = 2**20
NEITHER = f"is neither text nor Parquet, {EXPECTED}; look what it is, or {AGAIN}"


def unpacked(data: bytes, file: str) -> tuple[bytes, str | None]:
    """Return the content, and ``gzip`` where it was compressed.

    Raises
    ------
    DataError
        If there is none, or the archive is broken, of another kind, or unpacks to more than 64 MiB
        and than 500 times its size, to more than 1 GiB and than 100 times its size, or to more
        than a file may have.
    """
    compression = None
    if data.startswith(GZIP):
        data, compression = _from_gzip(data, file), "gzip"
    other = next((said for start, said in OTHERS.items() if data.startswith(start)), None)
    if other is not None:
        said, _, advice = other.partition("; ")
        raise DataError(f"{file}: is {said}, {EXPECTED}; {advice or AGAIN}")
    if not data.strip():
        raise DataError(f"{file}: cannot be read: {EMPTY}")
    return data, compression


def decoded(data: bytes, file: str, encoding: str | None) -> tuple[str, str]:
    """Return the text and its encoding.

    Without ``encoding``: a byte order mark, else the pattern of NULs that UTF-16 makes, else UTF-8,
    else Windows-1252.

    Raises
    ------
    DataError
        If it is no text in that encoding, or a web page, or JSON.
    """
    name = encoding or _encoding(data)
    try:
        text = data.decode(name)
    except UnicodeError:
        if encoding is not None or name != "utf-8":
            raise DataError(f"{file}: cannot be read as {name}; see data.encoding") from None
        text, name = _western(data, file), "cp1252"
    # Two, where files with a mark each were joined.
    text = text.lstrip("\ufeff")
    if not text.strip():
        raise DataError(f"{file}: cannot be read: {EMPTY}")
    if any(ord(letter) in CONTROLS for letter in text[:SEEN]) or "\0" in text:
        raise DataError(f"{file}: cannot be read: {NEITHER}")
    start = text[:SEEN].lstrip()[:9].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        raise DataError(f"{file}: is a web page, expected prices; download the file itself")
    if start.startswith(("{", "[")):
        raise DataError(
            f"{file}: is JSON, expected Parquet or text with separators; save it as one of them"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), name


def _from_gzip(data: bytes, file: str) -> bytes:
    most, found = _most_unpacked(len(data)), io.BytesIO()
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            while part := packed.read(AT_A_TIME):
                found.write(part)
                if found.tell() > most:
                    raise DataError(
                        f"{file}: gzip of more than {most / 2**20:,.0f} MiB in "
                        f"{len(data) / 2**20:,.1f}; unpack it to see what it holds"
                    )
    except (EOFError, OSError, zlib.error) as error:
        finding = str(error).removeprefix("Error -3 while decompressing data: ")
        raise DataError(f"{file}: cannot be read: gzip: {finding}; {AGAIN}") from error
    return found.getvalue()


def _most_unpacked(n_bytes: int) -> int:
    return max(
        FREE_BYTES,
        min(HIGH_BYTES, HIGH_RATIO * n_bytes),
        min(MOST_BYTES, RATIO * n_bytes),
    )


def _encoding(data: bytes) -> str:
    for mark, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return name
    seen = data[:SEEN]
    even, odd = seen[::2].count(0), seen[1::2].count(0)
    half = len(seen) / 2
    if odd > 0.8 * half and even < 0.2 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.8 * half and odd < 0.2 * half else "utf-8"


def _western(data: bytes, file: str) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeError:
        raise DataError(f"{file}: cannot be read: {NEITHER}") from None
