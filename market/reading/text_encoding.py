"""From the bytes of a file to its text: compression and encoding, found by content."""

import gzip
import zlib

from market.bars import DataError

GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\v") | {127}
SEEN = 4096


def unpacked(data: bytes, file: str) -> tuple[bytes, str | None]:
    """Return the content, and ``gzip`` where it was compressed.

    Raises
    ------
    DataError
        If there is none, or the archive is broken or of another kind.
    """
    compression = None
    if data.startswith(GZIP):
        try:
            data, compression = gzip.decompress(data), "gzip"
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{file}: cannot be read: gzip, but {_lower(error)}") from error
    if data.startswith(ZIP):
        raise DataError(f"{file}: is a zip archive or an Excel workbook, expected text or Parquet")
    if not data.strip():
        raise DataError(f"{file}: cannot be read: empty file")
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
    text = text.removeprefix("\ufeff")
    if any(ord(letter) in CONTROLS for letter in text[:SEEN]) or "\0" in text:
        raise DataError(f"{file}: cannot be read: is neither text nor Parquet")
    start = text[:SEEN].lstrip()[:9].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        raise DataError(f"{file}: is a web page, expected prices; download the file itself")
    if start.startswith(("{", "[")):
        raise DataError(f"{file}: is JSON, expected Parquet or text with separators")
    return text.replace("\r\n", "\n").replace("\r", "\n"), name


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
        raise DataError(f"{file}: cannot be read: is neither text nor Parquet") from None


def _lower(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]
