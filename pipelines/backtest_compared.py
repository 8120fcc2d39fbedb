"""What was learnt, held against the defaults and against the labels' barriers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from backtest.alone import count_wanted, each_alone
from backtest.comparison import Comparison, Difference, PolicyResult, compare
from backtest.comparison_words import verdicts
from backtest.estimates import Estimate
from backtest.markets import Market
from backtest.replay import replay
from backtest.replayed import HOLDOUT, SEEN, UNSEEN
from backtest.report import ComparedPart
from exits.ladder import DEFAULTS
from exits.policy import Defaults, ExitPolicy
from pipelines.backtest_exits import Barriers
from pipelines.backtest_settings import BacktestSettings
from pipelines.console import console
from pipelines.progress import WorkProgress

LEARNED: Final = "learned"
BARRIER: Final = "hold_to_barrier"
BASELINES: Final = (DEFAULTS, BARRIER)
_MONTHS: Final = {
    SEEN: "months that models were chosen by",
    HOLDOUT: "the opened holdout",
    UNSEEN: "months that nothing has read",
}

Trade = Callable[[ExitPolicy, Callable[[int, int], None]], pl.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Three policies on the same markets.

    Attributes
    ----------
    alone : Comparison
        Each entry traded by itself, the same ones by all policies.
    jointly : Comparison
        On one account, as it would have been traded.
    trades : polars frame
        Of each entry alone, with a column `policy` (`backtest.replayed.TRADES`).
    n_wanted : int
        Entries that were wanted.
    barriers : Barriers
    """

    alone: Comparison
    jointly: Comparison
    trades: pl.DataFrame
    n_wanted: int
    barriers: Barriers

    @property
    def parts(self) -> tuple[ComparedPart, ComparedPart]:
        """As a page and a console show it, the paired form first."""
        alone = (
            f"Each of {self.n_wanted:,} wanted entries traded by itself on a fresh account. Hold "
            f"to barrier: {self.barriers.in_words}. R: by the stop of each policy; ATR: of the "
            f"signal bar, the same distance for all.{self._months_in_words}"
        )
        jointly = "As it would have been traded: what is open keeps later entries out."
        return (
            ComparedPart(title="Each entry alone", note=alone, comparison=self.alone),
            ComparedPart(title="On one account", note=jointly, comparison=self.jointly),
        )

    @property
    def months(self) -> dict[str, int]:
        """Trades by what was learnt, by what had been read of their months."""
        learnt = self.trades.filter(pl.col("policy") == LEARNED)["segment"]
        counts = {name: int((learnt == name).sum()) for name in _MONTHS}
        return {name: n for name, n in counts.items() if n}

    @property
    def _months_in_words(self) -> str:
        """Where not all the same has been read of the months, how many trades are of which."""
        if len(self.months) < 2:
            return ""
        first, *others = (f"{n:,} {{}}of {_MONTHS[name]}" for name, n in self.months.items())
        listed = ", ".join([first.format("are "), *(one.format("") for one in others)])
        return f" Of {sum(self.months.values()):,} learned trades {listed}."

    @property
    def in_words(self) -> list[str]:
        """In a sentence for each baseline what was learnt is worth, entries alone."""
        return [f"Each entry alone, {one}." for one in verdicts(self.alone)]

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "alone": self.alone.to_json(),
            "jointly": self.jointly.to_json(),
            "entries_wanted": self.n_wanted,
            "learned_trades_by_months": self.months,
            "barriers": self.barriers.in_words,
        }

    def metrics(self) -> dict[str, float]:
        """Return what the tracker compares runs by."""
        found: dict[str, float] = {}
        for form, one in (("alone", self.alone), ("jointly", self.jointly)):
            found |= {f"{form}_{name}": value for name, value in _metrics(one).items()}
        return found


def compared(
    markets: Sequence[Market],
    settings: BacktestSettings,
    learnt: pl.DataFrame,
    barriers: Barriers,
) -> Compared:
    """Trade the same markets by each policy, entries alone and on one account.

    Parameters
    ----------
    markets : sequence of Market
    settings : BacktestSettings
    learnt : polars frame
        Trades of the learnt policy on one account.
    barriers : Barriers
    """
    given: dict[str, Any] = {
        "exits": settings.exits.settings,
        "costs": settings.costs,
        "account": settings.account,
        "evaluator": settings.evaluator,
    }
    since = settings.period.start

    def alone(policy: ExitPolicy, on_progress: Callable[[int, int], None]) -> pl.DataFrame:
        return each_alone(markets, policy, since=since, on_progress=on_progress, **given)

    def jointly(policy: ExitPolicy, on_progress: Callable[[int, int], None]) -> pl.DataFrame:
        return replay(markets, policy, on_progress=on_progress, **given).trades

    baselines: dict[str, ExitPolicy] = {
        DEFAULTS: Defaults(settings.exits.parameters),
        BARRIER: barriers.policy(),
    }
    learner = {LEARNED: settings.exits.policy(settings.seed, barriers)}
    apart = _traded({**learner, **baselines}, alone, "each entry alone")
    return Compared(
        alone=_compared(apart, settings),
        jointly=_compared({LEARNED: learnt, **_traded(baselines, jointly, "replaying")}, settings),
        trades=pl.concat(
            frame.select(pl.lit(name).alias("policy"), pl.all()) for name, frame in apart.items()
        ),
        n_wanted=count_wanted(markets, since),
        barriers=barriers,
    )


def _traded(
    policies: Mapping[str, ExitPolicy], trade: Trade, doing: str
) -> dict[str, pl.DataFrame]:
    frames = {}
    for name, policy in policies.items():
        with WorkProgress(console(), f"{doing}: {name.replace('_', ' ')}") as progress:
            frames[name] = trade(policy, progress.update)
    return frames


def _metrics(one: Comparison) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for policy in one.policies:
        found |= {f"{policy.name}_trades": policy.n_trades, **_units(policy.name, policy)}
        found |= {f"{policy.name}_win_share": policy.win_share}
    for pair in one.differences:
        name = f"{pair.name}_less_{pair.baseline}"
        found |= {f"{name}_pairs": pair.n_pairs, **_units(name, pair)}
    return {name: float(value) for name, value in found.items() if value is not None}


def _units(name: str, one: PolicyResult | Difference) -> dict[str, float | None]:
    def ends(unit: str, found: Estimate) -> dict[str, float | None]:
        key = f"{name}_{unit}"
        return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}

    return {**ends("r", one.r), **ends("atr", one.atr)}


def _compared(frames: Mapping[str, pl.DataFrame], settings: BacktestSettings) -> Comparison:
    return compare(frames, BASELINES, seed=settings.seed)
