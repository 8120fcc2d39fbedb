"""Says in one line why a store failed, for people who want their results and no traceback."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from urllib.parse import unquote

# MLflow's words for requests that fail however often they are made.
_REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
_REASON_CHARS = 160
_DETAIL_CHARS = 600
# Of an address: what stands between `://` and the host, with its `@`.
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


class UnknownVersionError(LookupError):
    """A promotion of a version that was never registered; the message is one line."""


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
        UnknownVersionError,
    )


def is_refusal(uri: str, error: BaseException) -> bool:
    """Return whether a store that works will not have this one call, now or later.

    Of a server only its own answer says so: what stands before it answers 404 as well while it
    is down, and MLflow gives a lost connection the same code.
    """
    from mlflow.exceptions import RestException

    if isinstance(error, UnknownVersionError):
        return True
    answered = isinstance(error, RestException) or not uri.startswith("http")
    return answered and getattr(error, "error_code", None) in _REFUSALS


def cannot_be_reached(error: BaseException) -> bool:
    """Return whether a store did not answer at all."""
    return _unreachable(error) is not None


def failure_line(uri: str, error: BaseException) -> str:
    """Say in one line what happened to the store at `uri`."""
    unreachable = _unreachable(error)
    where = f"MLflow at {without_password(uri)}"
    if unreachable is not None:
        return f"{where} cannot be reached ({unreachable})"
    reason = _shortened(_cleaned(_reason(error), uri), _REASON_CHARS)
    return f"{where} failed ({reason})"


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
