"""What a look for drift found, as other commands read it: ``drift.json``."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from market.reading.safe_names import printable
from selection.atomic import write_json_atomically
from selection.strict_json import strict_json

FILE: Final = "drift.json"
SCHEMA_VERSION: Final = 1

Status = Literal["tripped", "stable", "waiting", "no_model", "failed"]
Cause = Literal["accuracy", "log_loss", "features"]


class DriftReportError(ValueError):
    """A report that cannot be read; one line naming the file, the field and what was found."""


class SymbolDrift(BaseModel):
    """What was found of one symbol.

    Attributes
    ----------
    status : str
        ``tripped``, ``stable``, ``waiting`` (too few events to say anything, or nothing
        to hold them against), ``no_model`` (nothing
        is deployed) or ``failed`` (it could not be looked at).
    tripped_at : datetime or None
        When what tripped was known, UTC: nothing later was read for it. None unless tripped.
    tripped_by : tuple of str
        Which tests did, the first to alarm first.
    reasons : tuple of str
        The evidence in sentences; also why a symbol waits or failed.
    n_events : int
        Events later than training whose outcome is known.
    features : tuple of mapping
        A mapping per feature, those that moved furthest first; see `live.feature_drift`.
    outcome : mapping or None
        The sequential tests; see `live.outcome_drift`.
    market : str or None
        Which one the bars that were looked at are of: ``real``, or what identifies a simulated one;
        None where none were looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    tripped_at: AwareDatetime | None = None
    tripped_by: tuple[Cause, ...] = ()
    reasons: tuple[str, ...] = ()
    n_events: Annotated[int, Field(ge=0)] = 0
    features: tuple[Mapping[str, JsonValue], ...] = ()
    outcome: Mapping[str, JsonValue] | None = None
    market: str | None = None

    @model_validator(mode="after")
    def _tripped_says_when(self) -> Self:
        if (self.status == "tripped") != (self.tripped_at is not None):
            raise ValueError("tripped_at goes with status tripped, and with no other")
        return self


class DriftReport(BaseModel):
    """One look at all symbols of a manifest.

    Attributes
    ----------
    timestamp : datetime
        When it was looked, UTC.
    manifest_sha256 : str
        Of the manifest whose models were looked at: of any other the report says nothing.
    symbols : mapping of str to SymbolDrift
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    timestamp: AwareDatetime
    manifest_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    symbols: Mapping[str, SymbolDrift]

    @property
    def tripped(self) -> tuple[str, ...]:
        """Symbols that tripped, in the report's order."""
        return tuple(name for name, one in self.symbols.items() if one.status == "tripped")


def write_drift(path: Path, report: DriftReport) -> None:
    """Write a report, whole or not at all; raises OSError if the folder cannot be written to."""
    write_json_atomically(path, document(report))


def document(report: DriftReport) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return report.model_dump(mode="json")


def read_drift(path: Path) -> DriftReport:
    """Return a report from its file.

    Raises
    ------
    DriftReportError
        If it is missing, is no JSON, or is no report of this version.
    """
    try:
        found = strict_json(path.read_bytes())
        return DriftReport.model_validate(found)
    except FileNotFoundError as error:
        raise DriftReportError(
            f"{path}: no such report; run python -m pipelines.drift first, or give its path"
        ) from error
    except OSError as error:
        raise DriftReportError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DriftReportError(f"{path}: {_in_words(error)}") from error
    except ValueError as error:
        raise DriftReportError(f"{path}: {error}") from error


def utc(time: datetime) -> str:
    """Return a time to the minute as it is shown."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "the report"
    return f"{printable(field)}: {first['msg']}, was {printable(repr(first['input'])):.60}"
