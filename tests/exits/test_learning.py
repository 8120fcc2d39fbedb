"""From rows to a model: what was planted moves the right way, and later trades change nothing."""

import dataclasses

import numpy as np
import pytest

from exits import learning
from exits.critic import DECIDES_ENTRIES
from exits.exit_net_training import NetSettings
from exits.learning import LearningError, LearningSettings, learn
from exits.parameters import INDEX, NAMES, PARAMETERS, defaults
from models.monitor import TrainingMonitor
from tests.exits.lessons import ATR_P, FEATURE, HELPS_AT_HIGH_RSI, IDLE, made_up

NET = NetSettings(
    dropout=[0.0, 0.0, 0.0],
    learning_rate=2e-3,
    batch_size=128,
    max_epochs=12,
    patience=20,
    lr_patience=10,
    lr_factor=0.5,
)
SETTINGS = LearningSettings(
    net=NET,
    validation_share=0.2,
    credit="decision",
    temperature=1.0,
    most_weight=150.0,
    false_discovery_rate=0.05,
)
QUICK = dataclasses.replace(SETTINGS, net=dataclasses.replace(NET, max_epochs=1))
STOP, HOLD = INDEX[HELPS_AT_HIGH_RSI], INDEX["max_trade_duration_bars"]
TIMED = tuple(one.name for one in PARAMETERS if one.patience == "time")
# Of what is not varied, one is not at its default.
KEPT = INDEX["partial_1_r"]


def learnt_of(rows, settings=QUICK, seed=1):
    return learn(rows, settings, seed=seed, monitor=TrainingMonitor())


def weights_of(model):
    return [array.tobytes() for layer in model.net.layers for array in layer]


@pytest.fixture(scope="module")
def rows():
    only = (HELPS_AT_HIGH_RSI, IDLE, "consecutive_losses_max", *TIMED)
    rows = made_up(1, 800, own=2.0, patience=3.0, only=only)
    rows.decided_NP[:, KEPT] = 1.7
    return rows


@pytest.fixture(scope="module")
def learnt(rows):
    return learnt_of(rows, SETTINGS)


@pytest.fixture(scope="module")
def quick(rows):
    return learnt_of(rows)


def test_what_helped_is_moved_the_right_way_in_the_right_state(rows, learnt):
    x_NF = rows.x_NF[rows.trade_N >= 640]
    values_NP = learnt.model.decide(x_NF, np.ones(len(x_NF)))
    rsi_N = x_NF[:, FEATURE["market_state.rsi"]]
    low, high = (values_NP[mask_N, STOP].mean() for mask_N in (rsi_N < 35, rsi_N > 65))
    assert high - low > 0.25
    assert low < 3.6 < high
    assert values_NP[:, HOLD].mean() > 65
    assert (values_NP[:, INDEX[IDLE]] == 11).all()


def test_what_the_data_tell_is_identified_and_the_rest_keeps_its_base(learnt):
    identified = {NAMES[p] for p in np.flatnonzero(learnt.model.identified_P)}
    assert identified == {HELPS_AT_HIGH_RSI, "current_atr", *TIMED}
    base_P = defaults(1.0)
    base_P[KEPT] = 1.7
    np.testing.assert_allclose(learnt.model.base_P[:ATR_P], base_P[:ATR_P], rtol=1e-12)
    assert learnt.model.base_P[KEPT] == 1.7
    by_name = {one.name: one for one in learnt.evidence}
    assert tuple(by_name) == NAMES
    assert by_name["partial_1_r"].why == "was never varied; stays at 1.7"
    assert by_name[IDLE].why.endswith("; stays at 11")
    assert not any(by_name[name].identified for name in DECIDES_ENTRIES)
    assert by_name["consecutive_losses_max"].why.startswith("decides on entries too")
    assert by_name[HELPS_AT_HIGH_RSI].effect_r > 0.2
    assert learnt.model.why == {one.name: one.why for one in learnt.evidence}


def test_the_net_is_held_against_constants_and_against_copying(learnt):
    found = {one.name: one for one in learnt.evidence}[HELPS_AT_HIGH_RSI]
    assert found.net_error < found.constant_error
    assert found.gain == pytest.approx(1 - found.net_error / found.constant_error)
    assert found.copy_error > found.net_error
    assert found.default == 3.6
    identified = [one for one in learnt.evidence if one.identified and one.name != "current_atr"]
    for name in ("net", "copy", "constant"):
        mean = np.mean([getattr(one, f"{name}_error") for one in identified])
        assert getattr(learnt.copy_test, name) == pytest.approx(mean)


def test_current_atr_is_a_forecast_of_the_atr_that_came(rows, learnt):
    x_NF = rows.x_NF[rows.trade_N >= 640]
    forecast_N = learnt.model.decide(x_NF, np.full(len(x_NF), 2.0))[:, ATR_P]
    rises_N = x_NF[:, FEATURE["regime"]] > 2
    assert forecast_N[rises_N].mean() == pytest.approx(3.0, abs=0.3)
    assert forecast_N[~rises_N].mean() == pytest.approx(1.6, abs=0.3)
    assert learnt.model.atr_ratio == pytest.approx((0.8, 1.5))
    why = {one.name: one.why for one in learnt.evidence}["current_atr"]
    assert why == "a better forecast of the ATR than the measured one"


def test_an_atr_that_nobody_can_foretell_stays_the_measured_one(rows):
    chance_N = np.random.default_rng(1).uniform(0.8, 1.3, len(rows.atr_N))
    learnt = learnt_of(dataclasses.replace(rows, next_atr_N=rows.atr_N * chance_N))
    assert not learnt.model.identified_P[ATR_P]
    assert learnt.model.decide(rows.x_NF[:1], np.array([2.0]))[0, ATR_P] == 2.0
    unknown = learnt_of(dataclasses.replace(rows, next_atr_N=np.full(len(rows.atr_N), np.nan)))
    assert not unknown.model.identified_P[ATR_P]
    assert unknown.model.atr_ratio == (0.5, 2.0)


class Spy:
    """What the fit is given."""

    def __init__(self, monkeypatch):
        self.seen = []
        true = learning.train_exit_net
        monkeypatch.setattr(
            learning,
            "train_exit_net",
            lambda *given, **k: self.seen.append(given) or true(*given, **k),
        )

    def training_part(self, place):
        part = self.seen[place][0]
        return [array.tobytes() for array in (part.unit_NF, part.target_NP, part.weight_NP)]


@pytest.mark.parametrize("credit", ["decision", "trade"])
def test_trades_held_back_change_nothing_of_what_is_fitted_to(rows, credit, monkeypatch):
    spy, settings = Spy(monkeypatch), dataclasses.replace(QUICK, credit=credit)
    later_M = np.arange(800) >= 640
    later_N = later_M[rows.trade_N]
    other = made_up(77, 800, own=-9.0)
    changed = dataclasses.replace(
        rows,
        r_M=np.where(later_M, other.r_M, rows.r_M),
        regime_M=np.where(later_M, 0, rows.regime_M),
        next_atr_N=np.where(later_N, 9.0 * rows.atr_N, rows.next_atr_N),
        x_NF=np.where(later_N[:, None], 3.0 * other.x_NF, rows.x_NF),
        decided_NP=np.where(later_N[:, None], other.decided_NP, rows.decided_NP),
    )
    one, two = learnt_of(rows, settings), learnt_of(changed, settings)
    assert spy.training_part(0) == spy.training_part(1)
    assert weights_of(one.model) == weights_of(two.model)
    for name in ("low_F", "high_F", "log_F"):
        same = getattr(one.model.bounds, name) == getattr(two.model.bounds, name)
        assert same.all(), name
    assert one.model.atr_ratio == two.model.atr_ratio
    assert one.split_time == two.split_time
    np.testing.assert_array_equal(one.model.base_P, two.model.base_P)


def test_trades_open_over_the_split_are_in_neither_part(rows, monkeypatch):
    spy = Spy(monkeypatch)
    plain = learnt_of(rows)
    exits_M = rows.exit_time_M.copy()
    exits_M[[3, 600]] = plain.split_time
    open_rows = dataclasses.replace(rows, exit_time_M=exits_M)
    found = learnt_of(open_rows)
    assert plain.split_time == rows.entry_time_M[640]
    assert (plain.n_train.trades, plain.n_validation.trades) == (640, 160)
    assert (found.n_train.trades, found.n_validation.trades) == (638, 160)
    assert (found.n_train.rows, found.n_validation.rows) == (1276, 320)
    again_M = np.where(np.isin(np.arange(800), [3, 600]), -50.0, rows.r_M)
    learnt_of(dataclasses.replace(open_rows, r_M=again_M))
    assert spy.training_part(1) == spy.training_part(2)


def test_weights_have_mean_one_in_training_and_less_where_nothing_is_known(rows, monkeypatch):
    spy = Spy(monkeypatch)
    learnt_of(rows)
    mean_P = spy.seen[0][0].weight_NP.mean(axis=0, dtype=np.float64)
    known = [STOP, ATR_P, *(INDEX[name] for name in TIMED)]
    np.testing.assert_allclose(mean_P[known], 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.delete(mean_P, known), 0.05, rtol=1e-5)


def test_equal_seeds_give_equal_bytes(rows, quick):
    again = learnt_of(rows)
    assert weights_of(again.model) == weights_of(quick.model)
    assert again.model.digest == quick.model.digest
    assert again.evidence == quick.evidence
    assert weights_of(learnt_of(rows, seed=2).model) != weights_of(quick.model)


@pytest.mark.parametrize("marks", [{"hindsight": True}, {}])
def test_hindsight_is_marked_and_weighted_by_trade_as_the_plain_way_is(rows, marks, monkeypatch):
    spy = Spy(monkeypatch)
    settings = QUICK if marks else dataclasses.replace(QUICK, credit="trade")
    found = learnt_of(dataclasses.replace(rows, **marks), settings)
    assert found.hindsight == found.model.hindsight == bool(marks)
    weight_NP = np.delete(spy.seen[0][0].weight_NP, ATR_P, axis=1)
    assert (weight_NP == weight_NP[:, :1]).all()
    assert np.ptp(weight_NP) > 1
    assert all("the state" in one.why for one in found.evidence[:-1])


def test_the_model_says_until_when_it_has_learnt(rows, quick):
    assert quick.model.trained_until == rows.exit_time_M.max()
    facts = quick.model.facts
    assert (facts["trades"], facts["decisions"], facts["epoch"]) == (800, 1600, 1)
    assert facts["val_loss"] == quick.val_loss == quick.curves["val_loss"][0]
    assert not quick.hindsight


@pytest.mark.parametrize(
    ("n_trades", "share", "said"),
    [
        (99, 0.2, "of 99 trades 79 are left to train on, at least 100 are needed"),
        (1, 0.2, "of 1 trades 0 are left to train on, at least 100 are needed"),
        (150, 0.05, "of 150 trades 8 are left to hold back, at least 20 are needed"),
    ],
)
def test_too_few_trades_are_refused_in_one_line(n_trades, share, said):
    settings = dataclasses.replace(QUICK, validation_share=share)
    with pytest.raises(LearningError) as refused:
        learnt_of(made_up(1, n_trades), settings)
    assert str(refused.value) == f"{said}; give more experiences"


def test_a_fit_that_comes_to_nothing_is_one_line(rows, monkeypatch):
    def fails(*_given, **_named):
        raise ValueError("the loss of the exit net is nan")

    monkeypatch.setattr(learning, "train_exit_net", fails)
    with pytest.raises(LearningError, match=r"^the loss of the exit net is nan$"):
        learnt_of(rows)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation_share": 0.0}, "validation_share must be in (0, 1), was 0.0"),
        ({"validation_share": float("nan")}, "validation_share must be in (0, 1), was nan"),
        ({"credit": "both"}, "credit must be decision or trade, was 'both'"),
        ({"temperature": 0.0}, "temperature must be above 0, was 0.0"),
        ({"temperature": float("inf")}, "temperature must be above 0, was inf"),
        ({"most_weight": 1.0}, "most_weight must be above 1, was 1.0"),
        ({"false_discovery_rate": 1.0}, "false_discovery_rate must be in (0, 1), was 1.0"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(changes, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        dataclasses.replace(SETTINGS, **changes)
    assert str(refused.value) == said
