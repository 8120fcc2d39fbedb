"""JSON that somebody else may have written: read whole within limits, or refused in one line."""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from market.reading.safe_names import printable

MOST_BYTES = 64 * 2**20
# Values, counted before they are made: two million take about 200 MB.
MOST_VALUES = 2_000_000
MOST_LEVELS = 100
MOST_DIGITS = 100
_HALF_A_SIGN = re.compile("[\ud800-\udfff]")


def strict_json(content: bytes, *, most_bytes: int = MOST_BYTES) -> Any:
    """Return what a JSON document holds, in which every name stands once.

    Parameters
    ----------
    content : bytes
        UTF-8.
    most_bytes : int
        What is larger is not looked at.

    Raises
    ------
    ValueError
        One line: the document is too large, too deep or no JSON; a key stands in an object twice;
        a number is not finite or of too many digits; a text is no text.
    """
    if len(content) > most_bytes:
        raise ValueError(f"has {len(content)} bytes, expected at most {most_bytes}")
    n_values = sum(map(content.count, (b",", b"[", b"{")))
    if n_values > MOST_VALUES:
        raise ValueError(f"holds about {n_values} values, expected at most {MOST_VALUES}")
    try:
        found = json.loads(
            content.decode(),
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_each_key_once,
        )
        # A reader of a few hundred levels gets this far, its callers need not.
        deep = _levels(found) > MOST_LEVELS
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not JSON: {printable(str(error))}") from error
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"is nested more than {MOST_LEVELS} levels deep")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"holds {text:.20}, expected finite numbers")


def _finite(text: str) -> float:
    _check_digits(text)
    number = float(text)
    if not math.isfinite(number):
        _no_number(text)
    return number


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _check_digits(text: str) -> None:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"holds a number of {len(text)} digits, expected at most {MOST_DIGITS}")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        raise ValueError(f"holds the key {printable(twice):.60} twice in one object")
    return found


def _levels(document: Any) -> int:
    """Return how deep a document is nested; look at its texts on the way."""
    level, depth = [document], 0
    while level and depth <= MOST_LEVELS:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                _check_text(one)
            elif isinstance(one, dict):
                inner.extend(one)
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        level, depth = inner, depth + 1
    return depth


def _check_text(text: str) -> None:
    if not text.isascii() and _HALF_A_SIGN.search(text):
        raise ValueError(f"holds a text that is none: {printable(text):.60}")
