"""The replay beside other packages: what counts as the same trade, and what all are given."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import replay_speed
from benchmarks.replay.cases import TARGET_R, case, settled, walk, without_signals_at_exits
from benchmarks.replay.contenders import (
    BACKTESTING,
    INSTALL,
    PLAIN,
    VECTORBT,
    Inner,
    assay_plain,
    contenders,
    installed,
)
from benchmarks.replay.trades import AT_AN_EXIT, IN_A_POSITION, UNEXPLAINED, Trades, compared
from benchmarks.replay_speed import Measured, Speed, main, measure, page, ratio


def trades(*rows, open_since=None):
    """Return trades of (signal bar, exit bar, exit price); entries fill at the next bar at 1.0."""
    signal_bar, exit_bar, exit_price = np.array(rows, float).reshape(-1, 3).T
    signal_bar, exit_bar = signal_bar.astype(int), exit_bar.astype(int)
    return Trades(
        signal_bar,
        np.ones(len(rows), int),
        signal_bar + 1,
        exit_bar,
        np.ones(len(rows)),
        exit_price,
        np.ones(len(rows), bool),
        open_since,
    )


def replayed(one):
    contender = assay_plain(one)
    return contender.trades(contender.call())


@pytest.fixture(scope="module")
def drawn():
    return case("walk", walk(4_000))


@pytest.fixture(scope="module")
def plain(drawn):
    return settled(drawn, replayed)


def test_equal_trades_are_equal_and_rounding_is_no_difference():
    ours = trades((1, 3, 1.5), (5, 9, 0.5))
    found = compared(ours, trades((1, 3, 1.5 * (1 + 1e-13)), (5, 9, 0.5)))
    assert (found.equal, found.unequal) == (2, 0)


def test_a_difference_is_named_by_what_comes_first_in_a_trade():
    ours = trades((1, 3, 1.5), (5, 9, 0.5), (20, 22, 1.5))
    theirs = trades((1, 3, 1.5001), (5, 8, 0.6), (20, 22, 1.5))
    other_side = replace(theirs, side=np.array([1, 1, -1]))
    assert compared(ours, theirs).different == {"exit price": 1, "exit bar": 1}
    assert compared(ours, other_side).different == {"exit price": 1, "exit bar": 1, "side": 1}


def test_a_trade_of_one_side_alone_is_explained_by_what_the_other_did():
    ours = trades((1, 3, 1.5), (3, 6, 1.5), (10, 12, 1.5), (20, 22, 1.5), (40, 42, 1.5))
    theirs = trades((1, 3, 1.5), (8, 15, 0.5), open_since=30)
    found = compared(ours, theirs)
    assert found.equal == 1
    assert found.only_ours == {AT_AN_EXIT: 1, IN_A_POSITION: 2, UNEXPLAINED: 1}
    assert found.only_theirs == {UNEXPLAINED: 1}
    assert found.unequal == 5


def test_a_signal_before_the_first_trade_of_the_other_is_unexplained():
    assert compared(trades((1, 3, 1.5)), trades()).only_ours == {UNEXPLAINED: 1}
    assert compared(trades((1, 3, 1.5)), trades((4, 9, 1.0))).only_ours == {UNEXPLAINED: 1}


def test_signals_straddle_the_close_and_levels_lie_between_prices(drawn):
    signal_T, close_T = drawn.signal_T, drawn.bars.close_T
    is_signal_T = signal_T != 0
    assert 0.03 < is_signal_T.mean() < 0.08
    assert (signal_T * (close_T - drawn.stop_T) > 0)[is_signal_T].all()
    assert (signal_T * (drawn.target_T - close_T) > 0)[is_signal_T].all()
    for level_T in (drawn.stop_T, drawn.target_T):
        points_T = level_T[is_signal_T] / 1e-5
        assert (abs(points_T - np.round(points_T)) > 0.3).all()


def test_what_is_left_is_ended_by_stop_or_target_and_refuses_nothing(drawn, plain):
    before, after = replayed(drawn), replayed(plain)
    assert not before.by_stop_or_target.all()
    assert after.by_stop_or_target.all()
    assert len(after) > 100
    # Taken: every signal but those while a trade was open.
    free_until = 0
    for bar in np.flatnonzero(plain.signal_T):
        if bar >= free_until:
            place = np.searchsorted(after.signal_bar, bar)
            assert (place == len(after)) or after.signal_bar[place] == bar
            free_until = after.exit_bar[place] if place < len(after) else len(plain.bars)


def test_the_replay_makes_the_trades_of_a_stop_and_a_target(plain):
    bars, found = plain.bars, replayed(plain)
    for k in range(len(found)):
        side, first = found.side[k], found.entry_bar[k]
        stop, target = (float(levels[first - 1]) for levels in (plain.stop_T, plain.target_T))
        worst_T, best_T = (bars.low_T, bars.high_T) if side > 0 else (bars.high_T, bars.low_T)
        ends = [side * (worst_T[t] - stop) <= 0 or side * (best_T[t] - target) >= 0
                for t in range(first, found.exit_bar[k] + 1)]  # fmt: skip
        assert ends.index(True) == len(ends) - 1
        last = found.exit_bar[k]
        stopped = side * (worst_T[last] - stop) <= 0
        level = stop if stopped else target
        leapt = side * (bars.open_T[last] - level) * (-1 if stopped else 1) > 0
        assert found.exit_price[k] == pytest.approx(bars.open_T[last] if leapt else level)
    assert np.allclose(abs(plain.target_T - plain.next_open_T)[plain.signal_T != 0],
                       TARGET_R * plain.risk)  # fmt: skip


def test_signals_at_exits_can_be_left_out(plain):
    spaced = without_signals_at_exits(plain, replayed)
    assert not spaced.signal_T[replayed(spaced).exit_bar].any()
    assert plain.signal_T[replayed(plain).exit_bar].any()


def test_a_clock_around_a_function_tells_the_loop_from_the_rest(monkeypatch):
    clock = {"s": 0.0}
    monkeypatch.setattr("benchmarks.replay.contenders.time.process_time", lambda: clock["s"])
    monkeypatch.setattr("benchmarks.replay_speed._times", lambda: clock.update(s=clock["s"] + 3))
    for rest, expected in ((False, 3.0), (True, 2.0)):
        with Inner("benchmarks.replay_speed", "_times", rest).timed() as loop_s:
            clock["s"] += 2
            replay_speed._times()
        assert loop_s == [expected]


def test_a_ratio_is_of_times_taken_in_the_same_round():
    speeds = {
        PLAIN: Speed([1.0, 2.0, 1.0], [0.1] * 3, 5),
        "other": Speed([30.0, 40.0, 20.0], [], 5),
    }
    one = Measured("walk", 100, 10, 9, 0.001, speeds, {})
    assert ratio(one, "other", PLAIN) == [20.0, 20.0, 30.0]


def test_without_the_packages_the_replay_stands_alone_and_the_command_is_named(drawn):
    measured = measure("walk", drawn.bars, {}, rounds=1)
    assert list(measured.speeds) == list(contenders(drawn, {}))
    assert all(speed.seconds[0] > speed.loop_seconds[0] > 0 for speed in measured.speeds.values())
    assert measured.n_signals < measured.n_drawn
    said = page([measured], {}, {})
    assert said.endswith(f"{BACKTESTING} and {VECTORBT} not installed, left out: {INSTALL}\n")


@pytest.mark.parametrize("package", [BACKTESTING, VECTORBT])
def test_all_trades_are_equal_where_fill_rules_allow(plain, package):
    if package not in installed():
        pytest.skip(f"{package} is not installed: {INSTALL}")
    one = plain if package == BACKTESTING else without_signals_at_exits(plain, replayed)
    theirs = contenders(one, installed())[package]
    found = compared(replayed(one), theirs.trades(theirs.call()))
    assert found.equal > 100
    assert found.unequal == 0


def test_the_command_prints_and_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(replay_speed, "compile_seconds", lambda: {"loaded": {PLAIN: 0.1}})
    output = tmp_path / "new" / "speed.json"
    assert main(["--bars", "3000", "--rounds", "1", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert [one["n_bars"] for one in record["measured"]] == [3_000]
    assert record["first_call_s"] == {"loaded": {PLAIN: 0.1}}
    assert "random walk of 3,000: 3,000 bars" in capsys.readouterr().out
