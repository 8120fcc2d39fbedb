"""Alerts posted to a webhook, as Slack, Mattermost and others that speak its JSON take them."""

import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from exits.http_call import HttpCaller, NoAnswerError
from live.alert_limits import AlertLimits
from live.alerts import Alert
from market.reading.safe_names import printable

URL_VARIABLE: Final = "ASSAY_ALERT_URL"
MOST_SIGNS: Final = 2_000
MOST_FACTS: Final = 10
MOST_ANSWER_BYTES: Final = 64 * 2**10

logger = logging.getLogger(__name__)


class Webhook:
    """Posts alerts from a thread of its own; see ``conf/alerts/webhook.yaml``.

    The address is a secret: who has it can post. No message of this class shows it.

    Parameters
    ----------
    url : str or None
        None takes it from the environment, `URL_VARIABLE`.
    every_s : float
        Between two alerts of one kind and symbol.
    per_hour : int
        Alerts of all kinds.
    timeout_s : float
        For one request, from the name's look-up to the last byte of the answer.
    most_waiting : int
        Alerts that wait to be sent; further ones are only counted.
    close_s : float
        How long `close` waits for them.
    plain_http : bool
        Whether an address beyond this machine may be http, which shows the secret on the way.

    Raises
    ------
    ValueError
        One line, without the address.
    """

    def __init__(
        self,
        *,
        url: str | None,
        every_s: float = 900.0,
        per_hour: int = 20,
        timeout_s: float = 5.0,
        most_waiting: int = 100,
        close_s: float = 5.0,
        plain_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, number in (("every_s", every_s), ("close_s", close_s)):
            if number < 0:
                raise ValueError(f"{name} must be at least 0, was {number}")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s must be above 0, was {timeout_s}")
        for name, count in (("per_hour", per_hour), ("most_waiting", most_waiting)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, was {count}")
        address = _checked_url(url, plain_http=plain_http)
        self._caller = HttpCaller(address, headers={"Content-Type": "application/json"})
        self._limits = AlertLimits(every_s=every_s, per_hour=per_hour, now_s=clock)
        self._timeout_s, self._close_s = timeout_s, close_s
        self._waiting: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._most_waiting = most_waiting
        self._n_given = self._n_sent = 0
        self._guard = threading.Lock()
        self._is_closed = False
        self._deadline_s = math.inf
        self._has_failed = False
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        """Take an alert; never waits, never raises."""
        with self._guard:
            if self._is_closed:
                return
            self._n_given += 1
            if not self._limits.passes(alert):
                return
            if self._waiting.qsize() < self._most_waiting:
                self._waiting.put(alert)
            else:
                self._limits.take_back(alert)

    def close(self) -> None:
        """Send what waits, for ``close_s`` at most; say in the log what was not sent."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            self._deadline_s = time.monotonic() + self._close_s
        self._waiting.put(None)
        self._thread.join(self._close_s)
        with self._guard:
            n_left = self._n_given - self._n_sent
        if n_left:
            logger.warning("alerts: %d were held back or could not be sent", n_left)

    def _work(self) -> None:
        while (alert := self._waiting.get()) is not None:
            with self._guard:
                told = self._limits.tell(alert)
            left_s = self._deadline_s - time.monotonic()
            failure = self._failure(alert, told, min(self._timeout_s, left_s))
            with self._guard:
                if failure is None:
                    self._n_sent += told + 1
                else:
                    self._limits.take_back(alert, told)
            self._log(failure)
        self._caller.close()

    def _failure(self, alert: Alert, told: int, timeout_s: float) -> str | None:
        """Post an alert; return why that failed, if it did."""
        if timeout_s <= 0:
            return "no time left"
        try:
            body = json.dumps(payload(alert, told)).encode()
            answer = self._caller.post(body, most_bytes=MOST_ANSWER_BYTES, timeout_s=timeout_s)
        except NoAnswerError as error:
            return str(error)
        except (TypeError, ValueError) as error:
            return f"cannot be written as JSON: {error}"
        return None if 200 <= answer.status < 300 else f"it answered {answer.status}"

    def _log(self, failure: str | None) -> None:
        """Say once that sending fails, and once that it is back."""
        if failure is not None and not self._has_failed:
            logger.warning("alerts: the webhook cannot be reached (%s); going on without", failure)
        elif failure is None and self._has_failed:
            logger.info("alerts: the webhook takes alerts again")
        self._has_failed = failure is not None


def payload(alert: Alert, told: int) -> dict[str, Any]:
    """Return what is posted.

    Parameters
    ----------
    alert : Alert
    told : int
        How many like it were held back before it.
    """
    symbol = f" {alert.symbol}" if alert.symbol else ""
    text = _plain(f"[{alert.kind}{symbol}] {alert.text}")
    if told:
        text += f" ({told} more like this since the last one)"
    facts = list(alert.facts.items())[:MOST_FACTS]
    if not facts:
        return {"text": text}
    lines = "; ".join(f"{_plain(name)}: {_plain(_value(value))}" for name, value in facts)
    fields = [
        {"title": _plain(name), "value": _plain(_value(value)), "short": True}
        for name, value in facts
    ]
    return {"text": text, "attachments": [{"fallback": lines, "fields": fields}]}


def _value(value: str | float | int) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Return text that calls nobody and links nowhere: names come from whoever sends events."""
    shown = printable(text[:MOST_SIGNS])
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _checked_url(url: str | None, *, plain_http: bool) -> str:
    given = os.environ.get(URL_VARIABLE, "") if url is None else url
    if not given.strip():
        raise ValueError(f"url is missing: set the environment variable {URL_VARIABLE}")
    try:
        parts = urlsplit(given.strip())
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
        has_user = parts.username is not None or parts.password is not None
    except ValueError:
        scheme, host, has_user = "", None, False
    if scheme not in ("http", "https") or not host:
        raise ValueError("url must be like https://host/path (what was given is not shown)")
    if has_user:
        raise ValueError("url must hold no user and no password (what was given is not shown)")
    if scheme == "http" and not plain_http and not _is_here(host):
        raise ValueError(
            "url must be https: over http whoever listens could post too; plain_http=true allows it"
        )
    return given.strip()


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
