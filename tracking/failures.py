"""Says in one line why a store failed, for people who want their results and no traceback."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from urllib.parse import unquote

NOTHING_LOST = "results are in the output folder, nothing was lost"

_REASON_CHARS = 160
_DETAIL_CHARS = 600
# Of an address: what stands between `://` and the host, with its `@`.
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def store_failures() -> tuple[type[Exception], ...]:
    """Name everything that a broken, missing or foreign store makes MLflow raise.

    `OSError` covers files, sockets and the file lock; the errors of Alembic and SQLAlchemy come
    out bare only while a store is opened.
    """
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (
        MlflowException,
        SQLAlchemyError,
        CommandError,
        sqlite3.Error,
        OSError,
    )


def failure_line(uri: str, error: BaseException) -> str:
    """Return one sentence on what happened to the store at `uri`, and that results are safe."""
    unreachable = _unreachable(error)
    where = f"MLflow at {without_password(uri)}"
    if unreachable is not None:
        return f"{where} cannot be reached ({unreachable}); {NOTHING_LOST}"
    reason = _shortened(_cleaned(_reason(error), uri), _REASON_CHARS)
    return f"{where} failed ({reason}); {NOTHING_LOST}"


def raised(uri: str, error: BaseException) -> str:
    """Return an error and what it came of, by type and text, without the password in `uri`.

    A traceback would quote the address as it was given.
    """
    return " <- ".join(
        f"{type(one).__name__}: "
        + _shortened(" ".join(_cleaned(str(one), uri).split()), _DETAIL_CHARS)
        for one in _causes(error)
    )


def without_password(uri: str) -> str:
    """Return a server's address without the name and password it may hold."""
    return _CREDENTIALS.sub("", uri)


def _cleaned(text: str, uri: str) -> str:
    """Leave credentials out of addresses, and blot out those of `uri` wherever else they stand."""
    text = without_password(text)
    found = _CREDENTIALS.search(uri)
    name, _, password = found.group()[:-1].partition(":") if found else ("", "", "")
    secret = password or name
    for one in filter(None, (secret, unquote(secret))):
        text = text.replace(one, "***")
    return text


def _shortened(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else f"{text[: most_chars - 3]}..."


def _unreachable(error: BaseException) -> str | None:
    """Look for the network's own error beneath the wrappers of three libraries."""
    from urllib3.exceptions import HTTPError, SSLError
    from urllib3.exceptions import TimeoutError as NoAnswer

    chain = list(_causes(error))
    for kind, reason in (
        (ConnectionRefusedError, "connection refused"),
        (socket.gaierror, "its name is not known"),
        (SSLError, "no secure connection"),
        (NoAnswer, "no answer in time"),
        (TimeoutError, "no answer in time"),
        (HTTPError, "no connection"),
    ):
        if any(isinstance(one, kind) for one in chain):
            return reason
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _reason(error: BaseException) -> str:
    """Take the first line, or that of the database's own driver, without the statement it adds."""
    if isinstance(error, OSError) and error.strerror:
        named = f" {error.filename}" if error.filename else ""
        return f"{error.strerror}{named}"
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    driver = re.compile(r"^\(\w+\.\S+\) ")
    said = next(filter(driver.match, lines), lines[0] if lines else type(error).__name__)
    return driver.sub("", said)
