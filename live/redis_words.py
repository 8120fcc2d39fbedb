"""What is said of a redis-server: its place, its settings, and what is wrong, never a password."""

import os
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

PASSWORD = "ASSAY_REDIS_PASSWORD"  # noqa: S105 - the variable's name
_SCHEMES = ("redis", "rediss")


def checked_place(url: str) -> str:
    """Return what messages call a server: no more than scheme, host, port and database.

    Raises
    ------
    ValueError
        If the URL is none, or holds a password, or anything but these and a user.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        raise ValueError("url must be as redis://HOST:PORT/DB, its port is none") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"url must begin with redis://HOST or rediss://HOST, was {_shown(url)}")
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise ValueError(f"url must hold no password: give it in the environment as {PASSWORD}")
    if parts.query:
        raise ValueError("url must have nothing after ?; the other keys of the group say the rest")
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise ValueError(f"url must end with a number of a database as /0, was /{database}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}/{database}"


def _shown(url: str) -> str:
    """Return a URL without anything that could be a secret in it."""
    return "text with an @" if "@" in url else repr(url)


def losses(told: Mapping[str, str]) -> list[str]:
    """Return one sentence for each setting of a server that could lose events."""
    found = []
    append, sync = told.get("appendonly"), told.get("appendfsync")
    if append == "no":
        found.append(
            "appendonly is no: a crash of the server loses events; set appendonly yes and "
            "appendfsync always"
        )
    elif append == "yes" and sync != "always":
        found.append(
            f"appendfsync is {sync}: a crash of the server's machine loses the last events; set "
            "appendfsync always"
        )
    policy = told.get("maxmemory-policy", "")
    if told.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
        found.append(
            f"maxmemory-policy is {policy}: a full server removes whole streams; set noeviction"
        )
    return found


def is_forbidden(error: Exception) -> bool:
    """Tell whether a server only does not let its settings be read."""
    said = str(error).lower()
    return type(error).__name__ == "NoPermissionError" or "unknown command" in said


def in_words(error: Exception) -> str:
    """Say what happened and what to do, on one line and without a secret."""
    advice = {
        "AuthenticationError": f"; the password comes from the environment, {PASSWORD}",
        "BusyLoadingError": "; it has just started, and reads what it kept: wait",
        "ReadOnlyError": "; it is a copy: set events_bus.url to the server that is written to",
        "OutOfMemoryError": "; its memory is full: trim streams, or raise its maxmemory",
        "NoPermissionError": "; give the user the rights to streams and scripts",
        "ConnectionError": "; start it, or set events_bus.url",
        "TimeoutError": "; it hangs or is far: see events_bus.timeout_s",
    }.get(type(error).__name__, "")
    what = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    # Before it the client shows the whole command, with an event's content.
    what = what.rpartition(" of pipeline caused error: ")[2]
    secret = os.environ.get(PASSWORD)
    if secret:
        what = what.replace(secret, "***")
    return f"{what}{advice}"
