"""What may be asked: the forms of every request, from which the OpenAPI page is made too.

A document that does not have the form is refused with 422 and the place in it.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from exits.feature_table import SCHEMA_DIGEST
from exits.parameters import NAMES
from live.service.problems import Problem
from market.checks.bar_words import LARGEST, SMALLEST
from market.reading.safe_names import clipped, printable

MOST_ROWS: Final = 1_000
MOST_FEATURES: Final = 1_000
MOST_BARS: Final = 20_000
MOST_FRAMES: Final = 10
MOST_SYMBOLS: Final = 200
N_EXIT_FEATURES: Final = 208
N_EXIT_PARAMETERS: Final = len(NAMES)
# Bars of earlier years than 1970, or of later ones than 2100, are a mistake in the unit.
_LATEST_S: Final = 4_102_444_800
_LONGEST_SHOWN: Final = 60
_BOUNDS: Final = {"ge": "at least", "le": "at most"}
_FRAME: Final = r"^[1-9][0-9]{0,3}[mhd]$"
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}


def _whole(value: Any) -> Any:
    # To JSON 5.0 is as whole a number as 5.
    return int(value) if type(value) is float and value.is_integer() else value


def _sign(value: Any) -> Any:
    # Literal takes whatever is equal, and to Python True is 1.
    if type(value) is bool:
        raise PydanticCustomError("direction", "Input should be 1 or -1")
    return _whole(value)


Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]
Volume = Annotated[float, Field(ge=0, le=LARGEST)]
Seconds = Annotated[int, Field(ge=0, le=_LATEST_S), BeforeValidator(_whole)]
Direction = Annotated[Literal[1, -1], BeforeValidator(_sign)]
Row = Annotated[list[Number], Field(min_length=1, max_length=MOST_FEATURES, fail_fast=True)]
Rows = Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS, fail_fast=True)]
NamedRow = Annotated[dict[str, Number], Field(min_length=1, max_length=MOST_FEATURES)]
NamedRows = Annotated[list[NamedRow], Field(min_length=1, max_length=MOST_ROWS, fail_fast=True)]
ExitRow = Annotated[
    list[Number], Field(min_length=N_EXIT_FEATURES, max_length=N_EXIT_FEATURES, fail_fast=True)
]


def _column(kind: Any) -> Any:
    return Annotated[list[kind], Field(min_length=1, max_length=MOST_BARS, fail_fast=True)]


class _Question(BaseModel):
    """No other keys, no texts for numbers, no yes for 1."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class EntryRows(_Question):
    """Events as rows of features in the manifest's order, oldest first."""

    features: Rows = Field(description="A row per event, columns in the order of /v1/models.")
    context: Rows | None = Field(
        None, description="The events directly before, for a model that looks back on them."
    )
    directions: Annotated[list[Direction], Field(max_length=MOST_ROWS)] | None = Field(
        None, description="1 long or -1 short, a row each; only where no feature tells it."
    )


class NamedEntryRows(_Question):
    """Events as rows of features by name, oldest first; further names are left."""

    named_features: NamedRows = Field(description="A row per event, every feature by its name.")
    named_context: NamedRows | None = Field(None, description="As `context`, by name.")
    directions: Annotated[list[Direction], Field(max_length=MOST_ROWS)] | None = Field(
        None, description="As in rows without names."
    )


class BarColumns(_Question):
    """Bars of one length, oldest first: as many values in each column."""

    time: _column(Seconds) = Field(  # type: ignore[valid-type]
        description="Start of each bar, seconds since 1970-01-01 00:00 UTC, ascending."
    )
    open: _column(Price)  # type: ignore[valid-type]
    high: _column(Price)  # type: ignore[valid-type]
    low: _column(Price)  # type: ignore[valid-type]
    close: _column(Price)  # type: ignore[valid-type]
    volume: _column(Volume) | None = None  # type: ignore[valid-type]


FrameName = Annotated[str, Field(pattern=_FRAME)]


class EntryBars(_Question):
    """The last bars of one or more time frames; those of the model's own length are used."""

    frames: Annotated[dict[FrameName, BarColumns], Field(min_length=1, max_length=MOST_FRAMES)] = (
        Field(description="By length: 5m, 1h, 4h, 1d, ...")
    )
    now: Seconds | None = Field(
        None,
        description="Moment of the decision, seconds since 1970 UTC; the clock's where left out. "
        "A bar that is still forming then is left out; one that begins later is refused.",
    )


class ExitsQuestion(_Question):
    """Decisions on open trades: what `exits.remote_service` sends."""

    schema_digest: Literal[SCHEMA_DIGEST] = Field(  # type: ignore[valid-type]
        description="Of the 208 features, as this version computes them."
    )
    features: Annotated[
        list[ExitRow], Field(min_length=1, max_length=MOST_ROWS, fail_fast=True)
    ] = Field(description="Raw features, a row per decision.")
    atr: Annotated[list[Positive], Field(min_length=1, max_length=MOST_ROWS, fail_fast=True)] = (
        Field(description="Measured ATR at each decision, in price units.")
    )


EntryQuestion = EntryRows | NamedEntryRows | EntryBars
FORMS: Final[dict[str, type[EntryRows] | type[NamedEntryRows] | type[EntryBars]]] = {
    "features": EntryRows,
    "named_features": NamedEntryRows,
    "frames": EntryBars,
}


def entry_question(document: Any) -> EntryQuestion:
    """Return what is asked of one symbol; raises Problem with 422."""
    if not isinstance(document, dict):
        raise Problem(422, f"expected an object, was {_shown(document)}")
    given = [name for name in FORMS if name in document]
    if len(given) != 1:
        found = f"these are there: {', '.join(given)}" if given else "none of them is there"
        raise Problem(422, f"give exactly one of {', '.join(FORMS)}; {found}", field=None)
    return _typed(FORMS[given[0]], document)  # type: ignore[no-any-return]


def entry_questions(document: Any) -> dict[str, EntryQuestion]:
    """Return what is asked of each symbol of a batch; raises Problem with 422."""
    if not isinstance(document, dict):
        raise Problem(422, f"expected an object, was {_shown(document)}")
    for key in document:
        if key != "entries":
            raise Problem(422, "unknown key; a batch holds entries alone", field=clipped(key))
    entries = document.get("entries")
    if not isinstance(entries, dict) or not 1 <= len(entries) <= MOST_SYMBOLS:
        raise Problem(
            422, f"expected an object of 1 to {MOST_SYMBOLS} questions by symbol", field="entries"
        )
    questions = {}
    for symbol, one in entries.items():
        try:
            questions[symbol] = entry_question(one)
        except Problem as problem:
            raise problem.under(f"entries.{clipped(symbol)}") from None
    return questions


def exits_question(document: Any) -> ExitsQuestion:
    """Return what is asked of the exit model.

    Raises
    ------
    Problem
        409 where the features are those of another version, 422 where the form is another.
    """
    digest = document.get("schema_digest") if isinstance(document, dict) else None
    if isinstance(digest, str) and digest != SCHEMA_DIGEST:
        raise Problem(
            409,
            f"features of the schema {printable(digest[:12])}..., those of this version have "
            f"{SCHEMA_DIGEST[:12]}...",
            field="schema_digest",
        )
    question: ExitsQuestion = _typed(ExitsQuestion, document)
    if len(question.atr) != len(question.features):
        n_rows, n_atr = len(question.features), len(question.atr)
        raise Problem(409, f"{n_atr} for {n_rows} rows of features; one each", field="atr")
    return question


def frame_seconds(name: str) -> int:
    """Return the length of a time frame's bars."""
    return int(name[:-1]) * _SECONDS[name[-1]]


def frame_name(seconds: float) -> str:
    """Return what a time frame is called, in the largest unit that fits."""
    for unit, length in reversed(_SECONDS.items()):
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g} s"


def _typed(kind: type[BaseModel], document: Any) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Problem(422, _sentence(first), field=_place(first["loc"])) from None


def _sentence(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "is missing"
    said = printable(error["msg"])
    for bound, words in _BOUNDS.items():
        # pydantic writes 1e-100 with all its zeros.
        if bound in error.get("ctx", {}):
            said = f"Input should be {words} {error['ctx'][bound]}"
    return f"{said[:1].lower()}{said[1:]}, was {_shown(error['input'])}"


def _place(parts: tuple[int | str, ...]) -> str | None:
    # What pydantic adds to tell a key from its value.
    named = [clipped(str(part)) for part in parts if part != "[key]"]
    return ".".join(named) or None


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = re.sub(r"\s+", " ", printable(repr(value)[:200]))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
