"""Who decides the exits of a replay: fixed parameters, or the labels' barriers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backtest.costs import ExitSettings
from exits.conditions import session_close
from exits.exploring import Exploring
from exits.parameters import ParameterError, official_name
from exits.policy import Defaults, ExitPolicy, HoldToBarrier
from pipelines.command import ConfigError
from selection import DeployedModels


@dataclass(frozen=True, slots=True)
class Barriers:
    """Of the labels: what they call a win, a loss and a trade that took too long."""

    profit_atr: float
    stop_atr: float
    max_bars: int

    @property
    def in_words(self) -> str:
        """For a reader."""
        return f"target {self.profit_atr:g} ATR, stop {self.stop_atr:g} ATR, {self.max_bars} bars"

    def policy(self) -> HoldToBarrier:
        """Return who holds to them."""
        return HoldToBarrier(
            profit_atr=self.profit_atr, stop_atr=self.stop_atr, max_bars=self.max_bars
        )


def barriers_of(deployed: DeployedModels, symbols: Iterable[str]) -> Barriers:
    """Return the barriers that the labels of all these symbols have in common.

    Raises
    ------
    ConfigError
        If a symbol's labels are no barriers, or not those of the others.
    """
    found: dict[Barriers, str] = {}
    for symbol in symbols:
        label = deployed.selection(symbol).get("label", {})
        try:
            one = Barriers(label["profit_atr"], label["stop_atr"], label["max_bars"])
            one.policy()
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"exits: the manifest gives no barriers for {symbol} (label: {label or 'none'}); "
                "hold to barrier needs profit_atr, stop_atr and max_bars; use exits=defaults"
            ) from None
        found.setdefault(one, symbol)
    if len(found) > 1:
        listed = "; ".join(f"{symbol}: {one.in_words}" for one, symbol in found.items())
        raise ConfigError(
            f"exits: the labels' barriers differ ({listed}); replay symbols with the same ones"
        )
    return next(iter(found), Barriers(1.0, 1.0, 1))


class Variation:
    """How parameters are varied around what a policy says; raises ValueError naming what is wrong.

    Parameters
    ----------
    explore : float
        Share of its range by which each is varied; 0 varies nothing.
    vary : float
        Share of the parameters that is varied at each decision.
    together : float
        Share of decisions at which those that hold trades longer are moved by one draw.
    fixed : list of str
        Parameters that are not.
    draws : int
        Replays, each with draws of its own, whose trades become experiences.
    """

    def __init__(
        self, explore: float, vary: float, together: float, fixed: list[str], draws: int
    ) -> None:
        if not 0 <= explore <= 1:
            raise ValueError(f"explore must be from 0 to 1, was {explore}")
        if not 0 < vary <= 1:
            raise ValueError(f"vary must be above 0 and at most 1, was {vary}")
        if not 0 <= together <= 1:
            raise ValueError(f"together must be from 0 to 1, was {together}")
        if draws < 1:
            raise ValueError(f"draws must be at least 1, was {draws}")
        try:
            self.fixed = [official_name(name) for name in fixed]
        except ParameterError as error:
            raise ValueError(f"fixed.{error}") from None
        given = {"vary": vary != 1, "together": together > 0, "fixed": fixed, "draws": draws > 1}
        if not explore and any(given.values()):
            idle = ", ".join(name for name, is_given in given.items() if is_given)
            raise ValueError(
                f"explore must be above 0 for these to do anything, was 0: {idle}; give it, or "
                "leave them as exits=defaults has them"
            )
        self.explore, self.vary, self.together, self.draws = explore, vary, together, draws

    def to_json(self) -> dict[str, float | int | str] | None:
        """Return how parameters are varied, as names and plain values; None where none is."""
        if not self.explore:
            return None
        return {
            "explore": self.explore,
            "vary": self.vary,
            "together": self.together,
            "fixed": ", ".join(self.fixed),
            "draws": self.draws,
        }

    def around(self, base: ExitPolicy, seed: int, draw: int) -> ExitPolicy:
        """Return a policy that varies what another says, or that one."""
        if not self.explore:
            return base
        return Exploring(
            explore=self.explore,
            vary=self.vary,
            together=self.together,
            seed=seed,
            draw=draw,
            base=base,
            fixed=self.fixed,
        )


class ExitChoice(Protocol):
    """What `exits=...` names.

    Attributes
    ----------
    settings : ExitSettings
    parameters : mapping
        What is set otherwise than the table's defaults.
    tick_size : mapping
    draws : int
        Replays that experiences are written of; 0 where there is nothing to learn from.
    """

    settings: ExitSettings
    parameters: Mapping[str, float]
    tick_size: Mapping[str, float]
    draws: int

    @property
    def variation(self) -> Variation | None:
        """How parameters are varied; None where there are none."""
        ...

    def policy(self, seed: int, barriers: Barriers | None, draw: int = 0) -> ExitPolicy:
        """Return who decides; a new one for each replay, as a ladder counts its falls."""
        ...


class FixedExits:
    """The 132 parameters at their defaults, as set, or varied."""

    def __init__(
        self,
        *,
        explore: float,
        vary: float,
        together: float,
        fixed: list[str],
        draws: int,
        parameters: dict[str, float],
        tick_size: dict[str, float],
        tick_atr: float,
        minutes_per_bar: float | None,
        min_share: float,
        friday_late_hour: int,
        sessions: list[str],
    ) -> None:
        Defaults(parameters)
        self.variation = Variation(explore, vary, together, fixed, draws)
        self.draws = draws
        self.parameters = parameters
        self.tick_size = checked_ticks(tick_size)
        self.settings = exit_settings(
            tick_atr, minutes_per_bar, min_share, friday_late_hour, sessions
        )

    def policy(self, seed: int, barriers: Barriers | None, draw: int = 0) -> ExitPolicy:
        """Return who decides the parameters."""
        del barriers
        return self.variation.around(Defaults(self.parameters), seed, draw)


class BarrierExits:
    """A stop, a target and a limit of time, as the labels have them."""

    def __init__(
        self,
        *,
        tick_size: dict[str, float],
        tick_atr: float,
        minutes_per_bar: float | None,
        min_share: float,
        friday_late_hour: int,
        sessions: list[str],
    ) -> None:
        self.parameters: Mapping[str, float] = {}
        # Nothing has read the parameters that its trades would tell of.
        self.draws = 0
        self.variation: Variation | None = None
        self.tick_size = checked_ticks(tick_size)
        self.settings = exit_settings(
            tick_atr, minutes_per_bar, min_share, friday_late_hour, sessions
        )

    def policy(self, seed: int, barriers: Barriers | None, draw: int = 0) -> ExitPolicy:
        """Return who holds to the barriers, which the manifest gives."""
        del seed, draw
        if barriers is None:
            raise ConfigError("exits=barrier: the manifest gives no barriers")
        return barriers.policy()


def checked_ticks(tick_size: Mapping[str, float]) -> Mapping[str, float]:
    """Return tick sizes by symbol; raises ValueError naming one that is not above 0."""
    for symbol, size in tick_size.items():
        if not size > 0:
            raise ValueError(f"tick_size.{symbol} must be above 0, was {size}")
    return tick_size


def exit_settings(
    tick_atr: float,
    minutes_per_bar: float | None,
    min_share: float,
    friday_late_hour: int,
    sessions: Sequence[str],
) -> ExitSettings:
    """Return what rules are told beside parameters; raises ValueError naming what is wrong."""
    for close in sessions:
        try:
            session_close(close)
        except ValueError as error:
            raise ValueError(f"sessions.{close}: {error}") from error
    return ExitSettings(
        tick_atr=tick_atr,
        minutes_per_bar=minutes_per_bar,
        min_share=min_share,
        friday_late_hour=friday_late_hour,
        sessions=tuple(sessions),
    )
