"""Smart-money-concept features: 57 columns, each known at its bar's close.

Axes: T bars, N events, F features.

Swings are used only once `swing_length` later bars have confirmed them. Libraries that mark a
swing at its own bar read the future: their swings, order blocks and structure breaks change when
later bars are removed. Here no row changes when later bars come or go.
"""

import math
from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray
from market.compiled import BoolArray, IndexArray, SignArray
from market.features.catalogue import FEATURE_NAMES, FEATURES, MAX_DISTANCE_ATR, MAX_ZSCORE
from market.features.columns import BOTH, Columns, bar_columns
from market.features.indicators import (
    exponential_mean,
    signed_efficiency,
    trailing_zscore,
    wilder_atr,
    wilder_rsi,
)
from market.features.readings import Readings, Side, trend_bias
from market.features.structure import Structure, market_structure, swing_highs
from market.features.zones import Prices, gap_bars, track_gaps, track_order_blocks

# What is left of the value that a smoothed indicator was started with once it has settled.
SETTLED_SHARE = 1e-12


@dataclass(frozen=True, slots=True)
class SmcState:
    """What the bars say at each close: what events look at and rows are made of.

    Attributes
    ----------
    atr_T : float64 array
        Average true range in price units, positive.
    bias_T : float64 array
        Trend bias in [-1, 1], positive when rising.
    break_T, block_touch_T, gap_touch_T : int8 arrays
        +1 or -1 where the bar breaks structure, is the first back in an order block, the first
        back in a fair value gap: the direction it speaks for; else 0.
    columns : dict of str to float64 array
        Every feature that does not depend on the labels, per bar, before the event's direction.
    warmup_bars : int
        Bars at the start of which no event may be made.
    """

    atr_T: FloatArray
    bias_T: FloatArray
    break_T: SignArray
    block_touch_T: SignArray
    gap_touch_T: SignArray
    columns: Columns
    warmup_bars: int

    def __len__(self) -> int:
        return len(self.atr_T)


class SmcFeatures:
    """Order blocks, fair value gaps, structure, trend and momentum, known at each bar's close.

    Prices enter only as ratios: multiplying them by a constant leaves every feature as it is
    (``atr`` is in percent of the close). The meaning and range of each column is in
    `market.features.catalogue`.

    Parameters
    ----------
    swing_length : int
        Bars on each side that a swing must top, and its delay until it is known.
    atr_bars, rsi_bars, ema_bars, trend_bars : int
        Windows of the ATR, the RSI, the EMA and the trend's strength.
    zscore_bars : int
        Trailing window of the ``_ZScore`` columns.
    max_age_bars : int
        Blocks, gaps and breaks older than this are forgotten.
    block_lookback_bars : int
        How far before a break its order block may lie.
    displacement_atr : float
        Least move from an order block's close to the break's, in ATR.
    gap_atr : float
        Least height of a fair value gap, in ATR.
    commitment_atr : float
        How far beyond the level a close must be to count as committed, in ATR.
    bounce_atr : float
        How far beyond a mitigated block a close must be to count as a bounce, in ATR.
    rsi_overbought : float
        RSI from which a long has no room left; a short has none at 100 less this.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        *,
        swing_length: int,
        atr_bars: int,
        rsi_bars: int,
        ema_bars: int,
        trend_bars: int,
        zscore_bars: int,
        max_age_bars: int,
        block_lookback_bars: int,
        displacement_atr: float,
        gap_atr: float,
        commitment_atr: float,
        bounce_atr: float,
        rsi_overbought: float,
    ) -> None:
        counts = {
            "swing_length": swing_length,
            "atr_bars": atr_bars,
            "rsi_bars": rsi_bars,
            "ema_bars": ema_bars,
            "trend_bars": trend_bars,
            "max_age_bars": max_age_bars,
            "block_lookback_bars": block_lookback_bars,
        }
        _check_at_least(1, counts)
        _check_at_least(2, {"zscore_bars": zscore_bars})
        distances = {
            "displacement_atr": displacement_atr,
            "gap_atr": gap_atr,
            "commitment_atr": commitment_atr,
            "bounce_atr": bounce_atr,
        }
        _check_at_least(0, distances)
        if not 50 < rsi_overbought <= 100:
            raise ValueError(f"rsi_overbought must be in (50, 100], was {rsi_overbought}")
        self.swing_length = swing_length
        self.atr_bars = atr_bars
        self.rsi_bars = rsi_bars
        self.ema_bars = ema_bars
        self.trend_bars = trend_bars
        self.zscore_bars = zscore_bars
        self.max_age_bars = max_age_bars
        self.block_lookback_bars = block_lookback_bars
        self.displacement_atr = float(displacement_atr)
        self.gap_atr = float(gap_atr)
        self.commitment_atr = float(commitment_atr)
        self.bounce_atr = float(bounce_atr)
        self.rsi_overbought = float(rsi_overbought)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return FEATURE_NAMES

    @property
    def warmup_bars(self) -> int:
        """Bars at the start of which no event is made: the longest indicator, then its z-score."""
        indicator_bars = max(self.atr_bars, self.rsi_bars, self.ema_bars, self.trend_bars)
        return max(indicator_bars, 2 * self.swing_length + 1) + self.zscore_bars

    @property
    def structure_bars(self) -> int:
        """Bars after which a swing, block or gap from before them no longer lives."""
        return 2 * self.swing_length + 1 + self.block_lookback_bars + self.max_age_bars

    @property
    def history_bars(self) -> int:
        """Bars, its own included, from which a row is what any longer history makes it.

        ATR, RSI and EMA never quite forget the bar they were started at: they are given the time
        in which its share falls to 1e-12. A z-score then looks back over settled values, at blocks
        that may have formed `structure_bars` before. With the declared parameters these are 1,022
        bars.

        Measured on hourly bars of 16 symbols: at 16,000 cuts the last bar of so many fired the
        same conditions as with the whole history, and its values were the same to 1e-9. 800 bars
        did as well; with 700 values were the same to 1e-8, with 600 to 1e-6, with 500 to 2e-5, with
        400 to 0.003, while 300 were wrong by more than 0.001 in 44% of cuts. With other parameters
        (five sets tried) rounding came through in z-scores of nearly constant windows, at most
        2e-8 and in at most 5 of 960 rows.
        """
        weights = (1.0 / self.atr_bars, 1.0 / self.rsi_bars, 2.0 / (self.ema_bars + 1))
        settling_bars = max(_settling_bars(weight) for weight in weights)
        return max(settling_bars, self.trend_bars) + self.zscore_bars + self.structure_bars

    def state(self, bars: Bars) -> SmcState:
        """Read the bars, each value from its own bar and those before it."""
        readings = self._read(bars)
        columns = bar_columns(
            readings,
            zscore_bars=self.zscore_bars,
            max_age_bars=self.max_age_bars,
            commitment_atr=self.commitment_atr,
            bounce_atr=self.bounce_atr,
            rsi_overbought=self.rsi_overbought,
        )
        return SmcState(
            readings.atr_T,
            readings.bias_T,
            readings.structure.break_T,
            readings.block_touch_T(),
            readings.gap_touch_T(),
            columns,
            self.warmup_bars,
        )

    def rows(
        self,
        state: SmcState,
        bar_N: IndexArray,
        direction_N: SignArray,
        *,
        stop_atr: float,
        profit_atr: float,
    ) -> FloatArray:
        """Return the features of events, shape (n_events, 57), in the order of `names`.

        `bar_N` are positions of the events' bars, `direction_N` their directions, +1 or -1.
        """
        entry_N = direction_N.astype(np.float64)
        of_trade = {
            "TBM_Entry": entry_N,
            "TBM_Risk_Per_Trade_ATR": np.full(len(bar_N), stop_atr),
            "TBM_Reward_Per_Trade_ATR": np.full(len(bar_N), profit_atr),
            "Distance_to_Entry_ATR": np.zeros(len(bar_N)),
        }
        x_NF = np.empty((len(bar_N), len(FEATURES)))
        for f, feature in enumerate(FEATURES):
            if feature.name in of_trade:
                x_NF[:, f] = of_trade[feature.name]
                continue
            x_N = state.columns[feature.name][bar_N]
            if feature.frame == "trade":
                x_N = x_N * entry_N + 0.0  # no negative zeros
            elif feature.frame == "agrees":
                x_N = (x_N == entry_N) | (x_N == BOTH)
            x_NF[:, f] = x_N
        return x_NF

    def structure(self, prices: Prices) -> Structure:
        """Find the structure breaks, from swings known `swing_length` bars late."""
        return market_structure(
            prices.high_T,
            prices.low_T,
            prices.close_T,
            swing_highs(prices.high_T, self.swing_length),
            -swing_highs(-prices.low_T, self.swing_length),
        )

    def _read(self, bars: Bars) -> Readings:
        prices = Prices.of(bars)
        close_T = prices.close_T
        atr_T = wilder_atr(prices.high_T, prices.low_T, close_T, self.atr_bars)
        ema_T = exponential_mean(close_T, self.ema_bars)
        structure = self.structure(prices)
        body_T = np.clip((close_T - prices.open_T) / atr_T, -MAX_DISTANCE_ATR, MAX_DISTANCE_ATR)
        return Readings(
            atr_T=atr_T,
            rsi_T=wilder_rsi(close_T, self.rsi_bars),
            ema_T=ema_T,
            efficiency_T=signed_efficiency(close_T, self.trend_bars),
            bias_T=trend_bias(structure, (close_T - ema_T) / atr_T),
            body_z_T=trailing_zscore(body_T, self.zscore_bars, MAX_ZSCORE),
            structure=structure,
            bullish=self._side(prices, atr_T, structure.break_T > 0),
            bearish=self._side(prices.mirrored(), atr_T, structure.break_T < 0),
        )

    def _side(self, prices: Prices, atr_T: FloatArray, break_T: BoolArray) -> Side:
        gap_T = gap_bars(prices, atr_T, self.gap_atr)
        blocks = track_order_blocks(
            prices,
            atr_T,
            break_T,
            lookback_bars=self.block_lookback_bars,
            displacement_atr=self.displacement_atr,
            max_age_bars=self.max_age_bars,
        )
        return Side(
            prices, blocks, track_gaps(prices, gap_T, max_age_bars=self.max_age_bars), gap_T
        )


def _settling_bars(weight: float) -> int:
    """Bars after which a start value is forgotten, if each bar replaces ``weight`` of the mean."""
    return 1 if weight >= 1 else math.ceil(math.log(SETTLED_SHARE) / math.log1p(-weight))


def _check_at_least(least: int, arguments: dict[str, int] | dict[str, float]) -> None:
    for name, value in arguments.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, was {value}")
