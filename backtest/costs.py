"""What a replay is told of costs, the account and the clock of exits."""

import math
from dataclasses import dataclass, fields
from typing import Any

from exits.conditions import session_close


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Cost of one round trip, as shares of the ATR of the signal bar; each side bears half.

    Raises
    ------
    ValueError
        If one is negative or not finite.
    """

    spread_atr: float
    commission_atr: float
    slippage_atr: float

    def __post_init__(self) -> None:
        for name, value in _values(self):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0, was {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Money, and how much of it may be at risk.

    Attributes
    ----------
    equity : float
        At the beginning, in the account's currency.
    risk_per_trade : float
        Share of equity that the initial stop of one trade would lose.
    max_open_risk : float
        Share of equity that all initial stops together may lose.
    daily_loss_limit : float
        Share of a day's first equity; exits and entries heed a part of it by their parameters.
    recovery_drawdown : float
        Drawdown that is recovery mode for any `recovery_mode_sensitivity`.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    equity: float = 100_000.0
    risk_per_trade: float = 0.005
    max_open_risk: float = 0.05
    daily_loss_limit: float = 0.02
    recovery_drawdown: float = 0.10

    def __post_init__(self) -> None:
        if not 0 < self.equity < math.inf:
            raise ValueError(f"equity must be above 0, was {self.equity}")
        for name, value in _values(self):
            if name != "equity" and not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], was {value}")
        if self.risk_per_trade > self.max_open_risk:
            raise ValueError(
                f"risk_per_trade must be at most max_open_risk, {self.max_open_risk}, "
                f"was {self.risk_per_trade}: no trade could be opened"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitSettings:
    """How parameters in ticks and minutes are read, and when sessions close.

    Attributes
    ----------
    tick_atr : float
        A tick as a share of the signal bar's ATR, for symbols without a tick size of their own.
    minutes_per_bar : float or None
        What a bar counts in parameters that are minutes; None: its own length. The parameters are
        made for bars of one minute.
    min_share : float
        Least share of a position that is worth an order.
    friday_late_hour : int
        Hour, UTC.
    sessions : tuple of str
        When sessions close, UTC: ``Fri 21:00`` weekly, ``21:00`` daily.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    tick_atr: float = 0.25
    minutes_per_bar: float | None = 1.0
    min_share: float = 0.05
    friday_late_hour: int = 16
    sessions: tuple[str, ...] = ("Fri 21:00",)

    def __post_init__(self) -> None:
        for name, value in (("tick_atr", self.tick_atr), ("minutes_per_bar", self.minutes_per_bar)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, was {value}")
        if not 0 < self.min_share < 0.5:
            raise ValueError(f"min_share must be in (0, 0.5), was {self.min_share}")
        if not 0 <= self.friday_late_hour <= 24:
            raise ValueError(f"friday_late_hour must be from 0 to 24, was {self.friday_late_hour}")
        for one in self.sessions:
            session_close(one)


def _values(settings: Any) -> list[tuple[str, float]]:
    return [(field.name, getattr(settings, field.name)) for field in fields(settings)]
