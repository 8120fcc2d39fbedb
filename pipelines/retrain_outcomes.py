"""What came of every symbol of a retraining: written down, told, and counted."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from live.alerts import Alert, Alerts
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED
from pipelines.retrain_display import Outcome, Row
from selection.challenger_state import ChallengerState, Status, changed, write_state
from selection.challenges import Judged

_MEANS: Mapping[Outcome, str] = {
    "adopted": "is replaced",
    "dismissed": "stays, and is to be looked at",
}


class Outcomes:
    """The rows of the table that a retraining ends with.

    Parameters
    ----------
    live : Path
        The live manifest, beside which states are written.
    alerts : Alerts
        Told of every challenger that has ended.

    Attributes
    ----------
    rows : dict of str to Row
    notes : list of str
        What else there is to say.
    """

    def __init__(self, live: Path, alerts: Alerts) -> None:
        self.live, self.alerts = live, alerts
        self.rows: dict[str, Row] = {}
        self.notes: list[str] = []

    def not_trained(self, symbol: str, champion: str | None, why: str) -> None:
        """Note that a symbol is not trained, and why."""
        self.rows[symbol] = Row(symbol, "not trained", champion, None, why)

    def failed(self, symbol: str, error: Exception) -> None:
        """Note that a symbol could not be dealt with."""
        text = str(error).removeprefix(f"{symbol}: ")
        self.rows[symbol] = Row(symbol, "failed", None, None, text)

    def waits(self, state: ChallengerState, reason: str) -> None:
        """Note that a challenger cannot be judged yet."""
        symbol = state.symbol
        self.rows[symbol] = Row(symbol, "waiting", state.champion_model, state.model, reason)

    def end(
        self, state: ChallengerState, status: Status, reason: str, verdict: Judged | None = None
    ) -> None:
        """Write down that a challenge has ended, and tell it."""
        write_state(self.live, changed(state, datetime.now(UTC), status=status, reason=reason))
        self.ended(state, status, reason, verdict)

    def ended(
        self, state: ChallengerState, status: Status, reason: str, verdict: Judged | None = None
    ) -> None:
        """Tell that a challenge has ended, as is written down already."""
        symbol, champion = state.symbol, state.champion_model
        outcome: Outcome = "adopted" if status == "adopted" else "dismissed"
        self.rows[symbol] = Row(symbol, outcome, champion, state.model, reason, verdict)
        text = f"{symbol}: champion {champion or 'none'} {_MEANS[outcome]}: {reason}"
        facts = {} if verdict is None else {"events": verdict.rows, "p": verdict.p_adjusted}
        self.alerts.send(Alert("challenger", text, symbol, facts))

    @property
    def exit_code(self) -> int:
        """0 where every symbol was dealt with, 1 where none could be, 3 where some could not."""
        failed = [row.outcome == "failed" for row in self.rows.values()]
        if not any(failed):
            return ALL_TRAINED
        return NOTHING_TRAINED if all(failed) else SOME_FAILED
