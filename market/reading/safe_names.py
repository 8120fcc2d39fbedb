"""Names from outside, of files and of columns, made fit for messages and for file names."""

import re
from collections.abc import Collection, Sequence

SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]{0,63}")
LONGEST_SYMBOL = 64
LONGEST_SHOWN = 80
# A byte that is no UTF-8 stands in a file's name as one of these.
STRAY_BYTES = range(0xDC80, 0xDD00)


def printable(text: str) -> str:
    r"""Return text with what is no visible sign spelled out: a new line is ``\n``, 2 characters."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _spelled(letter) for letter in text)


def clipped(text: str) -> str:
    """Return text as `printable` does, its middle left out where it is long."""
    if len(text) <= LONGEST_SHOWN:
        return printable(text)
    return f"{printable(text[: LONGEST_SHOWN // 2])}...{printable(text[-10:])}"


def quoted(text: str) -> str:
    """Return text in quotation marks as Python writes it, its middle left out where it is long."""
    if len(text) <= LONGEST_SHOWN:
        return repr(text)
    return f"{repr(text[: LONGEST_SHOWN // 2])[:-1]}...{repr(text[-10:])[1:]}"


def some(names: Sequence[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(map(clipped, names[:8])) + (", ..." if len(names) > 8 else "")


def symbol_keys(said: Collection[str]) -> dict[str, str]:
    """Return the key under which each symbol that a file's name speaks of is listed.

    What can be a symbol is its own key. Anything else gets one that could be a symbol, and so a
    file's name, and that nothing else has: whoever lists a folder need not fear what is in it.
    """
    keys = {symbol: symbol for symbol in said if SYMBOL.fullmatch(symbol)}
    taken = set(keys)
    for symbol in sorted(set(said) - taken):
        plain = re.sub(r"[^A-Za-z0-9._#-]+", "_", printable(symbol)).lstrip("._#-") or "file"
        key, count = plain[:LONGEST_SYMBOL], 1
        while key in taken:
            count += 1
            key = f"{plain[: LONGEST_SYMBOL - len(str(count)) - 1]}-{count}"
        taken.add(key)
        keys[symbol] = key
    return keys


def cannot_be_a_symbol(file: str, symbol: str) -> str:
    """Return what to say of a file whose name speaks of something that cannot be a symbol."""
    return (
        f"{clipped(file)}: '{clipped(symbol)}' cannot be a symbol; rename the file to at most "
        f"{LONGEST_SYMBOL} letters, digits and ._#-, beginning with a letter or digit"
    )


def _spelled(letter: str) -> str:
    if ord(letter) in STRAY_BYTES:
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
