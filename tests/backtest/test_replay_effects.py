from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from backtest.effect_figures import draw_effects
from backtest.replay_effects import replay_effects
from backtest.replayed import DECISIONS
from exits.effects import SESSIONS
from exits.parameters import INDEX, defaults
from tests.backtest.made_replays import MONDAY, made_replay, made_trades

N = 48


def decided_replay(source="local_neural_network"):
    """Entries hour by hour, short ones with an early breakeven; all at an ATR of 2."""
    times = [MONDAY + timedelta(hours=hour) for hour in range(N)]
    sides = ["LONG", "SHORT"] * (N // 2)
    trades = made_trades(np.ones(N), entry_time=times, side=sides, regime=[1] * N)
    columns = {"trade_id": range(N), "number": [0] * N, "bar": range(N), "time": times}
    columns |= {"r": [0.0] * N, "atr": [2.0] * N, "source": [source] * N}
    columns |= {"parameters": [0, 1] * (N // 2), "current_atr": [2.0] * N, "before": [-1] * N}
    parameters_MP = np.tile(defaults(2.0), (2, 1))
    parameters_MP[1, INDEX["breakeven_threshold_ticks"]] = 6.0
    decisions = pl.DataFrame(columns, schema=DECISIONS)
    return replace(made_replay(trades), decisions=decisions, parameters_MP=parameters_MP)


def test_what_a_source_has_moved_is_shown_by_regime_and_the_session_of_the_decision():
    (one,) = replay_effects(decided_replay(), "local_neural_network")
    assert (one.name, one.mean) == ("breakeven_threshold_ticks", 9.0)
    (cells,) = one.by
    assert cells.n_IJ[1].tolist() == [20, 12, 16]
    assert cells.columns == SESSIONS
    assert cells.n_IJ.sum() == N


def test_decisions_of_others_are_not_looked_at():
    assert replay_effects(decided_replay("defaults"), "local_neural_network") == ()


def test_pictures_are_drawn_by_state_and_the_same_way_each_time():
    effects = replay_effects(decided_replay(), "local_neural_network")
    drawn = draw_effects(effects)
    assert list(drawn) == ["regime"]
    assert "breakeven_threshold_ticks" in drawn["regime"]
    assert drawn == draw_effects(effects)
    assert draw_effects(()) == {}
