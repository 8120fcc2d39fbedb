"""The 208 raw features of recorded decisions, driven by the feature table.

Axes: M trades, K decisions, F features, P the 132 parameters, J items of a list.

Plain sources are copied column by column; what is computed has a function here under its feature's
name. Nothing of a record later than a decision reaches its row, unless hindsight is asked for.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import numpy as np

from exits.experience import ASIA_HOUR, LONDON_HOUR, NEW_YORK_HOUR
from exits.feature_table import COMPUTED, FEATURES, INDEX, N_FEATURES, N_PARAMETERS, Feature
from exits.parameters import ATR
from exits.record_fields import CATEGORIES
from exits.recorded_trade import ITEM_COLUMNS, TRADE_COLUMNS
from exits.trade_batch import Listed, TradeBatch
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray, compiled

_ATR_P: Final = INDEX[ATR]
_SESSIONS: Final = FEATURES[INDEX["session"]].codes
NEUTRAL_F: Final = np.array([feature.neutral for feature in FEATURES])
_WHILE_OPEN: Final = np.flatnonzero([feature.known == "bar" for feature in FEATURES])
_AT_CLOSE: Final = np.flatnonzero([feature.known == "close" for feature in FEATURES])


def features(batch: TradeBatch, *, hindsight: bool = False) -> FloatArray:
    """Return the raw features of each decision; what is unknown has its neutral value.

    The parameters in force before a decision are left neutral where a record does not tell them:
    `parameter_features` makes those columns.

    Parameters
    ----------
    batch : TradeBatch
    hindsight : bool
        Take the parameters that were decided, and how the trade ended: this shows how good a leak
        looks, and nothing that is learnt from it may trade.

    Returns
    -------
    float64 array, shape (n_decisions, 208)
        Finite.
    """
    x_KF = np.tile(NEUTRAL_F, (len(batch.trade_K), 1))
    within = _Decisions(batch)
    for column in range(N_PARAMETERS, N_FEATURES):
        x_KF[:, column] = (_when_closed if hindsight else _when_decided)(FEATURES[column], within)
    if not hindsight:
        x_KF[:, _AT_CLOSE] = NEUTRAL_F[_AT_CLOSE]
        x_KF[np.ix_(batch.number_K == 0, _WHILE_OPEN)] = NEUTRAL_F[_WHILE_OPEN]
    told_KP = batch.decided_KP if hindsight else batch.previous_KP
    known_K = ~np.isnan(told_KP[:, 0])
    x_KF[known_K, :N_PARAMETERS] = parameter_features(told_KP[known_K], within.item("atr")[known_K])
    # Products of odd numbers overflow.
    unknown_KF = ~np.isfinite(x_KF)
    x_KF[unknown_KF] = np.broadcast_to(NEUTRAL_F, x_KF.shape)[unknown_KF]
    return x_KF


def parameter_features(values_KP: FloatArray, atr_K: FloatArray) -> FloatArray:
    """Return the first 132 features: parameters as they are, `current_atr` as a multiple.

    Parameters
    ----------
    values_KP : float64 array, shape (K, 132)
        In force before each decision, real units.
    atr_K : float64 array, shape (K,)
        Measured; where it is unknown or 0 the multiple is neutral.
    """
    x_KP = values_KP.copy()
    known_K = atr_K > 0.0
    x_KP[:, _ATR_P] = NEUTRAL_F[_ATR_P]
    x_KP[known_K, _ATR_P] = values_KP[known_K, _ATR_P] / atr_K[known_K]
    return x_KP


def session_codes(time_K: TimeArray) -> IndexArray:
    """Return the session of each time by its number in the feature table, see `session_of`."""
    hour_K = time_K.astype("datetime64[h]").astype(np.int64) % 24
    names = ("London", "NY")
    during = [
        (hour_K >= LONDON_HOUR) & (hour_K < NEW_YORK_HOUR),
        (hour_K >= NEW_YORK_HOUR) & (hour_K < ASIA_HOUR),
    ]
    numbers = [_SESSIONS.index(name) for name in names]
    return np.select(during, numbers, _SESSIONS.index("Asia"))


class _Decisions:
    """The columns of a batch, one value per decision."""

    def __init__(self, batch: TradeBatch) -> None:
        self.batch = batch

    def item(self, name: str) -> FloatArray:
        item_K: FloatArray = self.batch.items_KI[:, ITEM_COLUMNS[name]]
        return item_K

    def trade(self, name: str) -> FloatArray:
        value_K: FloatArray = self.batch.values_MR[self.batch.trade_K, TRADE_COLUMNS[name]]
        return value_K

    def code(self, name: str) -> IndexArray:
        code_K: IndexArray = self.batch.codes_MC[self.batch.trade_K, CATEGORIES.index(name)]
        return code_K

    @cached_property
    def quantity(self) -> FloatArray:
        quantity_K = self.trade("quantity")
        return np.where(np.isnan(quantity_K), self.trade("outcome.contracts"), quantity_K)

    @cached_property
    def money_per_r(self) -> FloatArray:
        return self.trade("outcome.risk_price") * self.quantity

    @cached_property
    def given_back(self) -> FloatArray:
        """What the best price so far was worth more than the present one, in R."""
        return np.maximum(self.item("mfe") - self.item("r"), 0.0)

    @cached_property
    def profits(self) -> FloatArray:
        """Best profit at closes so far, closes below it, and the largest fall."""
        history = self.batch.history
        return _profits(
            self.batch.trade_K,
            self.item("bar"),
            history.start_M1,
            history.bar_J,
            history.value_J,
        )

    def listed(self, name: str, *, hindsight: bool) -> FloatArray:
        """Return count, sum and last of the items of a list by now, or of all of them.

        An update counts from the decision after it.
        """
        listed: Listed = getattr(self.batch, _LISTS[name])
        bar_K = self.item("bar") - (1.0 if name == "exit_param_updates" else 0.0)
        return _so_far(
            self.batch.trade_K, bar_K, listed.start_M1, listed.bar_J, listed.value_J, hindsight
        )


_LISTS: Final = {
    "partial_exits": "partials",
    "exit_param_updates": "updates",
    "stop_adjustments": "stops",
}


def _when_decided(feature: Feature, within: _Decisions) -> FloatArray | IndexArray:
    if feature.group == "list_aggregates":
        return _of_list(feature, within, hindsight=False)
    if feature.source.startswith(COMPUTED):
        return _COMPUTED[feature.name](within)
    if feature.group == "encoded_categorical":
        return within.code(feature.name)
    if feature.source.startswith("item."):
        return within.item(feature.source.removeprefix("item."))
    return within.trade(feature.source)


def _when_closed(feature: Feature, within: _Decisions) -> FloatArray | IndexArray:
    if feature.group == "list_aggregates":
        return _of_list(feature, within, hindsight=True)
    if feature.group == "encoded_categorical":
        return within.code(feature.name)
    if feature.group == "market_state":
        return within.item(feature.name)
    return within.trade(feature.name)


def _of_list(feature: Feature, within: _Decisions, *, hindsight: bool) -> FloatArray:
    name, _, what = feature.name.partition(".")
    count_K, sum_K, last_K = within.listed(name, hindsight=hindsight)
    any_K = (count_K > 0).astype(np.float64)
    magnitude_K = last_K if name == "exit_param_updates" else sum_K
    found_K: FloatArray = {"count": count_K, "any": any_K, "magnitude": magnitude_K}[what]
    return found_K


@compiled
def _so_far(
    trade_K: IndexArray,
    bar_K: FloatArray,
    start_M1: IndexArray,
    bar_J: FloatArray,
    value_J: FloatArray,
    hindsight: bool,
) -> FloatArray:
    """Return count, sum and last of the items up to a bar, shape (3, K)."""
    found_3K = np.zeros((3, len(trade_K)))
    for k in range(len(trade_K)):
        for j in range(start_M1[trade_K[k]], start_M1[trade_K[k] + 1]):
            if hindsight or bar_J[j] <= bar_K[k]:
                found_3K[0, k] += 1.0
                found_3K[1, k] += value_J[j]
                found_3K[2, k] = value_J[j]
    return found_3K


@compiled
def _profits(
    trade_K: IndexArray,
    bar_K: FloatArray,
    start_M1: IndexArray,
    bar_J: FloatArray,
    value_J: FloatArray,
) -> FloatArray:
    """Return the best profit so far, the closes below it and the largest fall, shape (3, K)."""
    found_3K = np.zeros((3, len(trade_K)))
    for k in range(len(trade_K)):
        best = 0.0
        for j in range(start_M1[trade_K[k]], start_M1[trade_K[k] + 1]):
            if bar_J[j] <= bar_K[k]:
                best = max(best, value_J[j])
                if value_J[j] < best:
                    found_3K[1, k] += 1.0
                    found_3K[2, k] = max(found_3K[2, k], best - value_J[j])
        found_3K[0, k] = best
    return found_3K


def _since(name: str, within: _Decisions) -> tuple[FloatArray, FloatArray]:
    """Return where it came to breakeven or trailing, NaN where not by now, and age less one."""
    bar_K = within.trade(f"outcome.{name}_bar")
    by_now_K = (bar_K >= 0.0) & (bar_K <= within.item("bar"))
    bar_K = np.where(by_now_K, bar_K, np.nan)
    return bar_K, bar_K - within.trade("outcome.entry_bar")


def _atr_change_percent(within: _Decisions) -> FloatArray:
    atr_K = within.item("atr")
    first_K = np.searchsorted(within.batch.trade_K, within.batch.trade_K, side="left")
    start_K = np.where(atr_K[first_K] > 0.0, atr_K[first_K], np.nan)
    return 100.0 * (atr_K / start_K - 1.0)


def _max_drawdown_percent(within: _Decisions) -> FloatArray:
    equity_K = within.trade("outcome.equity_before")
    percent_K: FloatArray = 100.0 * within.profits[2] / np.where(equity_K > 0.0, equity_K, np.nan)
    return percent_K


def _profit_drawdown(within: _Decisions) -> FloatArray:
    mfe_K = within.item("mfe")
    above_K = mfe_K > 0.0
    return np.where(above_K, within.given_back / np.where(above_K, mfe_K, 1.0), 0.0)


_COMPUTED: Final[Mapping[str, Callable[[_Decisions], FloatArray | IndexArray]]] = {
    "bars_until_breakeven": lambda within: _since("breakeven", within)[1],
    "bars_until_trailing": lambda within: _since("trailing", within)[1],
    "breakeven_activation_bar": lambda within: _since("breakeven", within)[1] + 1.0,
    "trailing_activation_bar": lambda within: _since("trailing", within)[1] + 1.0,
    "time_in_breakeven_bars": lambda within: within.item("bar") - _since("breakeven", within)[0],
    "max_profit_reached": lambda within: within.item("mfe") * within.money_per_r,
    "session": lambda within: session_codes(within.batch.time_K),
    "outcome.atr_change_percent": _atr_change_percent,
    "outcome.drawdown_bars": lambda within: within.profits[1],
    "outcome.max_drawdown_percent": _max_drawdown_percent,
    "outcome.opportunity_cost": lambda within: within.given_back * within.money_per_r,
    "outcome.peak_unrealized_pnl": lambda within: within.profits[0],
    "outcome.profit_drawdown_from_peak": _profit_drawdown,
}
