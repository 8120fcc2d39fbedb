"""The prediction service as a rung of the ladder: the same 208 in, the same 132 out, over HTTP.

Asked: ``{"schema_digest": ..., "features": [[208 raw numbers], ...], "atr": [...]}``.
Answered: ``{"model_digest": ..., "parameters": [[132 numbers in real units], ...]}``.

JSON gives every float64 back as it was: an answer is to the bit what the service has computed.

Axes: K decisions, F features, P the 132 parameters.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from exits.circuit_breaker import CircuitBreaker
from exits.feature_table import SCHEMA_DIGEST
from exits.http_call import Answer, HttpCaller, NoAnswerError
from exits.ladder import NOT_FINITE, REMOTE, CannotAnswer
from exits.parameters import INDEX, N_PARAMETERS, NAMES, PARAMETERS
from exits.policy import Asked
from market.bars import FloatArray
from market.reading.safe_names import printable
from selection.strict_json import strict_json

TIMEOUT_S = 0.25
MOST_FAILURES = 3
PAUSE_S = 30.0

_ATR_P = INDEX["current_atr"]
_LOW_P = np.array([0.0 if p == _ATR_P else one.low for p, one in enumerate(PARAMETERS)])
_HIGH_P = np.array([np.inf if p == _ATR_P else one.high for p, one in enumerate(PARAMETERS)])
# A number takes at most 25 characters, its comma and a space.
_BYTES_PER_ROW, _BYTES_BESIDE = 27 * N_PARAMETERS + 4, 4096


class RemoteService:
    """Asks the service, within a limit of time that holds for the whole call.

    Parameters
    ----------
    url : str
        Of its exits: ``http://host:port/v1/exits``.
    api_key : str or None
        Sent as ``X-API-Key``.
    timeout_s : float
    breaker : CircuitBreaker or None
        Opened by failures of any kind; None takes one of 3 failures and 30 s.

    Attributes
    ----------
    model_digest : str or None
        Of the model that gave the last answer, as the service names it.

    Raises
    ------
    ValueError
        If the address is none, or the time not positive.
    """

    name = REMOTE
    gap = NOT_FINITE

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s must be positive, was {timeout_s}")
        if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable()):
            raise ValueError("api_key must be printable ASCII without a line's end, was not")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key is not None:
            headers["X-API-Key"] = api_key
        self._caller = HttpCaller(url, headers=headers)
        self._timeout_s = timeout_s
        self._breaker = breaker or CircuitBreaker(most_failures=MOST_FAILURES, pause_s=PAUSE_S)
        self.model_digest: str | None = None

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Return what the service answers; NaN in rows that cannot be asked about.

        Raises
        ------
        CannotAnswer
            If the circuit is open, the service does not answer in time or at all, says no, or
            answers with what no exit model can.
        """
        if self._breaker.is_open:
            raise CannotAnswer("its circuit is open: it failed too often in a row")
        deadline_s = time.monotonic() + self._timeout_s
        x_KF = np.array([one.state_F for one in asked], np.float64)
        atr_K = np.array([one.atr for one in asked])
        sent_K = np.isfinite(x_KF).all(axis=1) & np.isfinite(atr_K) & (atr_K > 0)
        values_KP = np.full((len(asked), N_PARAMETERS), np.nan)
        if sent_K.any():
            values_KP[sent_K] = self._answered(x_KF[sent_K], atr_K[sent_K], deadline_s)
        return values_KP

    def close(self) -> None:
        """Leave the connection."""
        self._caller.close()

    def _answered(self, x_KF: FloatArray, atr_K: FloatArray, deadline_s: float) -> FloatArray:
        question = {
            "schema_digest": SCHEMA_DIGEST,
            "features": x_KF.tolist(),
            "atr": atr_K.tolist(),
        }
        most_bytes = _BYTES_BESIDE + _BYTES_PER_ROW * len(x_KF)
        try:
            body = json.dumps(question, allow_nan=False).encode()
            left_s = deadline_s - time.monotonic()
            answer = self._caller.post(body, most_bytes=most_bytes, timeout_s=left_s)
            digest, values_KP = _read(answer, len(x_KF))
        except (NoAnswerError, ValueError) as error:
            self._breaker.failed()
            raise CannotAnswer(printable(str(error))) from error
        self._breaker.succeeded()
        self.model_digest = digest
        return values_KP


def _read(answer: Answer, n_rows: int) -> tuple[str, FloatArray]:
    """Return model and parameters from an answer; raises ValueError for what cannot be one."""
    if answer.status != 200:
        raise ValueError(f"it answers with status {answer.status}")
    document = strict_json(answer.body)
    named = isinstance(document, dict) and isinstance(document.get("model_digest"), str)
    if not named:
        raise ValueError("its answer names no model_digest")
    values_KP = _numbers(document.get("parameters"), n_rows)
    inside_KP = (values_KP >= _LOW_P) & (values_KP <= _HIGH_P) & np.isfinite(values_KP)
    inside_KP[:, _ATR_P] &= values_KP[:, _ATR_P] > 0
    if not inside_KP.all():
        name = NAMES[int(np.argmin(inside_KP.all(axis=0)))]
        raise ValueError(f"its answer has a {name} out of its range")
    return document["model_digest"], values_KP


def _numbers(rows: Any, n_rows: int) -> FloatArray:
    shaped = isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == N_PARAMETERS for row in rows
    )
    if not shaped or len(rows) != n_rows:
        raise ValueError(f"its answer has not {N_PARAMETERS} parameters for each row asked about")
    if not all(type(value) in (int, float) for row in rows for value in row):
        raise ValueError("its answer has a parameter that is no number")
    return np.array(rows, np.float64)
