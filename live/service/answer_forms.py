"""The forms of the answers, for the OpenAPI page; `entries` and `exit_answers` make them.

A client may rely on them: a key that is there stays there.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from live.service.questions import N_EXIT_PARAMETERS

Share = Annotated[float, Field(ge=0, le=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Signal(_Form):
    """What to do about one event."""

    action: Literal["BUY", "SELL", "HOLD"]
    reason: str | None = Field(..., description="Why it is HOLD.")
    direction: Literal[1, -1] | None
    probability: Share | None = Field(..., description="That the trade wins, calibrated.")


class CandidateAnswer(_Form):
    """What one candidate says by itself, before any calibration on live outcomes."""

    model: str
    role: Literal["selected", "member", "candidate"]
    probabilities: list[Share] | None = Field(..., description="One a row.")
    reason: str | None = Field(..., description="Why there are none.")


class EntryAnswer(_Form):
    """About one symbol: a signal per row, or one for the last closed bar."""

    symbol: str
    model: str | None = Field(..., description="null: none is deployed, all is HOLD.")
    model_version: str | None
    manifest_sha256: Digest
    threshold: Share | None
    calibrated: Literal["model", "pooled"] | None = Field(
        ...,
        description="Whose live outcomes the probability was calibrated with; null for bars before "
        "the last of these was known.",
    )
    signals: list[Signal]
    candidates: list[CandidateAnswer]
    frame: str | None = Field(None, description="Of bars: which was used.")
    closed_at: str | None = Field(None, description="Of bars: close of the last closed one, UTC.")
    age_s: float | None = Field(None, description="Of bars: seconds since that close.")
    features: list[float] | None = Field(
        None, description="Of bars: the row that was made of them, where there is an event."
    )


class ProblemDocument(_Form):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(..., description="What was found and what was expected.")
    field: str | None = Field(..., description="Where, as features.0.3.")


class SymbolProblem(_Form):
    """Why one symbol of a batch has no answer."""

    problem: ProblemDocument


class EntriesAnswer(_Form):
    """By symbol; one that cannot be answered does not keep the others from it."""

    manifest_sha256: Digest
    entries: dict[str, EntryAnswer | SymbolProblem]


class ExitsAnswer(_Form):
    """A row of parameters per decision, in real units."""

    model_digest: Digest
    parameters: list[
        Annotated[list[float], Field(min_length=N_EXIT_PARAMETERS, max_length=N_EXIT_PARAMETERS)]
    ]


class SymbolOfManifest(_Form):
    """One symbol as it is served."""

    model: str | None
    model_version: str | None
    reason: str
    threshold: Share | None
    calibrated: Literal["model", "pooled"] | None
    lookback_rows: int
    features: list[str] = Field(..., description="Columns of a row, in order.")
    bars: str | None = Field(..., description="The time frame it reads.")


class ExitModelServed(_Form):
    """The exit model that is served."""

    model_digest: Digest
    trained_until: str


class ModelsAnswer(_Form):
    """All that is served."""

    manifest_sha256: Digest
    manifest_timestamp: str
    simulated: bool = Field(..., description="Trained on a simulated market: not to be traded.")
    symbols: dict[str, SymbolOfManifest]
    exits: ExitModelServed | None


class Alive(_Form):
    """The process runs."""

    status: Literal["alive"]


class Ready(_Form):
    """Questions can be answered."""

    status: Literal["ready"]
    manifest_sha256: Digest
