"""What the streams carry: one model per kind of event, and the one place where an event is decoded.

An event comes off a stream as names and values in bytes. Every required field must be there and
must be right: nothing has a default, so that a field that is not found can never pass for a price
of 0. Fields that a model does not know are left alone (`unknown_fields` names them).
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from numbers import Real
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from market.reading.safe_names import printable
from selection.strict_json import strict_json

TRADE_CLOSED: Final = "trade.closed"
HARVEST_INTENT: Final = "harvest.intent"
TRADE_REJECTED: Final = "trade.rejected"
MOST_BYTES: Final = 64 * 2**10
MOST_SIGNS: Final = 1_000

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DIGEST = re.compile("[0-9a-f]{64}")
# Words of others for the same thing; offered, never taken for it.
_MEANT = {"buy": "LONG", "sell": "SHORT", "bid": "LONG", "ask": "SHORT"}


class EventRefusedError(ValueError):
    """An event that cannot be used; the message is one line naming each field that is wrong.

    Attributes
    ----------
    kind : str
        The first finding without what was found, such as ``"entry_price: missing"``: few enough of
        them to count by.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, was {_shown(value)}")  # noqa: TRY004
    if not value.strip():
        raise ValueError("must not be empty")
    if len(value) > MOST_SIGNS:
        raise ValueError(f"must be at most {MOST_SIGNS:,} signs long, was {len(value):,}")
    return value


def _number(value: Any) -> float:
    """Return a finite number; a text must be one as JSON or C would write it."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must be a number, was empty")
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError(f"must be a finite number, was {_shown(value)}")
    elif isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"must be a number, was {_shown(value)}")  # noqa: TRY004
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number, was {_shown(value)}")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"must be above 0, was {_shown(value)}")
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"must be in [0, 1], was {_shown(value)}")
    return number


def _moment(value: Any) -> datetime:
    """Return a time in UTC; one without a zone could be any of 38 hours."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(
                f"must be ISO 8601 such as 2026-01-31T09:30:00+00:00, was {_shown(value)}"
            ) from None
    if not isinstance(value, datetime):
        raise ValueError(f"must be a time, was {_shown(value)}")  # noqa: TRY004
    if value.tzinfo is None:
        raise ValueError(f"must say its zone, such as +00:00, was {_shown(value.isoformat())}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"must be a time, was {_shown(value.isoformat())}") from None


def _one_of(*words: str) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if value in words:
            return str(value)
        near = _MEANT.get(str(value).casefold()) if words == ("LONG", "SHORT") else None
        close = difflib.get_close_matches(str(value).upper(), words, n=1, cutoff=0.5)
        meant = near or (close[0] if close else None)
        raise ValueError(
            f"must be {' or '.join(words)}, was {_shown(value)}"
            + (f", did you mean {meant}?" if meant else "")
        )

    return checked


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"must be a SHA-256 in 64 hexadecimal digits, was {_shown(value)}")
    return value


def _scores(value: Any) -> dict[str, float]:
    found = _json(value)
    if not isinstance(found, dict):
        raise ValueError(f"must be an object of numbers, was {_shown(value)}")  # noqa: TRY004
    return {str(name): _number(one) for name, one in found.items()}


def _sentences(value: Any) -> tuple[str, ...]:
    found = _json(value)
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"must be a list of texts, was {_shown(value)}")
    return tuple(found)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return strict_json(value.encode("utf-8", "surrogatepass"), most_bytes=MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"must be JSON, and {error}") from None


def _shown(value: Any) -> str:
    text = printable(str(value))
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


Text = Annotated[str, BeforeValidator(_text)]
Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[float, BeforeValidator(_positive)]
Share = Annotated[float, BeforeValidator(_share)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Side = Annotated[Literal["LONG", "SHORT"], BeforeValidator(_one_of("LONG", "SHORT"))]
Digest = Annotated[str, BeforeValidator(_digest)]
HarvestAction = Annotated[
    Literal["CLOSE", "PARTIAL_CLOSE"], BeforeValidator(_one_of("CLOSE", "PARTIAL_CLOSE"))
]


class _Event(BaseModel):
    """What both kinds have in common: unchangeable, and checked whoever makes one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    timestamp: Moment
    symbol: Text
    side: Side
    order_id: Text


class TradeClosed(_Event):
    """A position, or the last part of one, that was closed.

    Attributes
    ----------
    timestamp : datetime
        Of the close, UTC.
    entry_price, exit_price : float
        Of the position's entry, and mean over its fills out.
    pnl_percent, pnl_usd : float
        After costs; costs may turn a price's gain into a loss.
    R_net : float
        The same in multiples of what was risked.
    confidence : float
        What the model said at the entry, in [0, 1].
    model_id : str
        Whose signal it was.
    reason : str
        Why it was closed.
    order_id : str
        Of the position: the same in every copy of this event.
    source : str
        Who reports it, such as ``paper``.
    quantity : float or None
        None where the producer does not say.
    manifest_sha256 : str or None
        Digest of the manifest that was traded; None where the producer does not say.
    """

    entry_price: Positive
    exit_price: Positive
    pnl_percent: Number
    pnl_usd: Number
    R_net: Number
    confidence: Share
    model_id: Text
    reason: Text
    source: Text
    quantity: Positive | None = None
    manifest_sha256: Digest | None = None


class HarvestIntent(_Event):
    """What the evaluator wants done with an open position.

    Attributes
    ----------
    timestamp : datetime
        Close of the bar that was judged, UTC.
    order_id : str
        Of the position.
    action : {"CLOSE", "PARTIAL_CLOSE"}
    fraction : float
        Of what is left: 1 to close, less than 1 for a part.
    current_price : float
        The close that was judged.
    r : float
        Profit there, in R.
    scores : dict
        Points by side, ``hold`` and ``exit``.
    reasons : tuple of str
        What counted, in words.
    intent_id : str
        The same in every copy of this event.
    """

    action: HarvestAction
    fraction: Share
    entry_price: Positive
    current_price: Positive
    r: Number
    scores: Annotated[dict[str, float], BeforeValidator(_scores)]
    reasons: Annotated[tuple[str, ...], BeforeValidator(_sentences)]
    intent_id: Text

    @model_validator(mode="after")
    def _fraction_fits_action(self) -> Self:
        if self.action == "CLOSE" and self.fraction != 1:
            raise ValueError(f"fraction: must be 1 for CLOSE, was {self.fraction!r}")
        if self.action == "PARTIAL_CLOSE" and not 0 < self.fraction < 1:
            raise ValueError(f"fraction: must be in (0, 1) for a part, was {self.fraction!r}")
        return self


EventKind = TypeVar("EventKind", bound=_Event)
Fields = Mapping[bytes, bytes] | Mapping[str, str] | Mapping[bytes | str, bytes | str]


def decoded(kind: type[EventKind], fields: Fields) -> EventKind:
    """Return the event that a stream's fields hold.

    Parameters
    ----------
    kind : type
        `TradeClosed` or `HarvestIntent`.
    fields : mapping
        Names to values, each in bytes (as a stream gives them) or as text.

    Raises
    ------
    EventRefusedError
        One line naming each field that is missing or wrong.
    """
    n_bytes = sum(len(one) for pair in fields.items() for one in pair)
    if n_bytes > MOST_BYTES:
        raise _refused([("event", f"must be at most {MOST_BYTES:,} bytes, was {n_bytes:,}")])
    values, findings = _as_text(kind, fields)
    try:
        event = kind.model_validate(values)
    except ValidationError as error:
        unreadable = {name for name, _ in findings}
        findings += [one for one in _findings(error, values) if one[0] not in unreadable]
    else:
        if not findings:
            return event
    raise _refused(findings)


def unknown_fields(kind: type[BaseModel], fields: Fields) -> dict[bytes, bytes]:
    """Return the fields that a kind of event has no use for, as they came."""
    known = {name.encode() for name in kind.model_fields}
    pairs = {_as_bytes(name): _as_bytes(value) for name, value in fields.items()}
    return {name: value for name, value in pairs.items() if name not in known}


def fields_of(event: BaseModel) -> dict[str, str]:
    """Return an event as a stream takes it; `decoded` makes the same event of it again.

    What an event does not say is left out.
    """
    values = {name: getattr(event, name) for name in type(event).model_fields}
    return {name: _written(one) for name, one in values.items() if one is not None}


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict | tuple):
        return json.dumps(value, allow_nan=False)
    return str(value)


def _as_text(kind: type[BaseModel], fields: Fields) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the known fields as text, and what is wrong with those that are none."""
    values: dict[str, str] = {}
    findings = []
    for name, value in fields.items():
        # A name that is no text is none of ours, and is kept with the unknown ones.
        known = _as_bytes(name).decode(errors="replace")
        if known in values:
            findings.append((known, "must be given once, was given as text and as bytes"))
        try:
            values[known] = _as_bytes(value).decode()
        except UnicodeDecodeError:
            values[known] = ""
            if known in kind.model_fields:
                findings.append((known, f"must be UTF-8, was {_as_bytes(value)[:20]!r}"))
    return values, findings


def _as_bytes(one: bytes | str) -> bytes:
    return one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one)


def _findings(error: ValidationError, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return field and sentence of each thing that is wrong."""
    found = []
    for one in error.errors(include_url=False):
        field = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "missing":
            known = {name.casefold().replace("_", ""): name for name in values}
            near = difflib.get_close_matches(field.casefold().replace("_", ""), known, n=1)
            # The nearest name is often another field that is right where it is.
            is_alias = near and known[near[0]] not in _KNOWN
            hint = f" (there is {_shown(known[near[0]])})" if is_alias else ""
            found.append((field, f"missing{hint}"))
            continue
        sentence = str(one.get("ctx", {}).get("error", one["msg"]))
        if not field:
            field, _, sentence = sentence.partition(": ")
        found.append((field, sentence))
    return found


def _refused(findings: list[tuple[str, str]]) -> EventRefusedError:
    field, sentence = findings[0]
    kind = f"{field}: {re.split(', was | [(]there is ', sentence)[0]}"
    return EventRefusedError("; ".join(f"{name}: {one}" for name, one in findings), kind=kind)


_KNOWN: Final = {*TradeClosed.model_fields, *HarvestIntent.model_fields}
