"""Words to a person about what needs one; sent or not, whoever sends goes on at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

KINDS: Final = (
    "symbol_without_model",
    "drift",
    "service_refusing",
    "bus_down",
    "challenger",
    "trades_refused",
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that happened.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    text : str
        One sentence for a person.
    symbol : str or None
        Which one it is about, if it is about one.
    facts : mapping
        Names to values, shown beneath.

    Raises
    ------
    ValueError
        If there is no such kind.
    """

    kind: str
    text: str
    symbol: str | None = None
    facts: Mapping[str, str | float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, was {self.kind!r}")


class Alerts(Protocol):
    """Where alerts go."""

    def send(self, alert: Alert) -> None:
        """Take an alert; never waits, never raises."""
        ...

    def close(self) -> None:
        """Send what waits, within a limit of time."""
        ...


class NoAlerts:
    """Nowhere: the default."""

    def send(self, alert: Alert) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
