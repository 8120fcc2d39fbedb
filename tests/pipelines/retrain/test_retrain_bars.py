"""Challengers of price files, and what bars after the cut may change: nothing."""

import shutil
from datetime import UTC, datetime

import polars as pl
import pytest

from market.simulate import SimulatedMarket
from selection.challenger_state import read_state
from selection.challenges import Challenges
from selection.holdout_ledger import REAL_MARKET
from tests.pipelines.conftest import COUNCIL_ALONE, LENIENT, trained
from tests.pipelines.retrain.conftest import (
    BEGINS,
    ENOUGH,
    EURUSD,
    FEW,
    FOREST,
    QUICK,
    challenger,
    entries,
)
from tests.pipelines.test_tuned import sweep_of

CUT = datetime(2011, 6, 19)
FILES = ("data=bars", *COUNCIL_ALONE)


def written(folder, n_bars, later=1.0):
    """Write a price file of a market that changes; prices after the cut times ``later``."""
    market = SimulatedMarket(n_bars=n_bars, edge=0, changes_at=4000, edge_after=0.6)
    bars = market.bars("EURUSD", 7)
    times = pl.when(pl.col("timestamp") >= CUT).then(later).otherwise(1.0)
    names = ("open", "high", "low", "close")
    frame = pl.DataFrame(
        {
            "timestamp": bars.start_T,
            **{name: getattr(bars, f"{name}_T") for name in names},
            "volume": bars.volume_T,
        }
    )
    folder.mkdir(exist_ok=True)
    frame.with_columns(pl.col(*names) * times).write_csv(folder / "EURUSD.csv")
    return f"data.dir={folder}"


@pytest.fixture(scope="module")
def of_files(tmp_path_factory):
    """A forest that was chosen on the noise of a price file: the folder of its manifest."""
    folder = tmp_path_factory.mktemp("of_files")
    data = ("symbols=[EURUSD]", "data=bars", written(folder / "bars", 4000))
    trained(folder, *QUICK, *data, *LENIENT, *FOREST)
    return folder / "deploy"


def test_prices_after_the_cut_change_nothing_of_a_challenger_of_price_files(
    of_files, again, tmp_path
):
    made = []
    for name, later in (("as it was", 1.0), ("dearer", 1.25)):
        live = tmp_path / name / "deploy" / "manifest.json"
        shutil.copytree(of_files, live.parent)
        data = written(tmp_path / name / "bars", 14000, later)
        again(live, *EURUSD, FEW, *FILES, data)
        made.append(entries(challenger(live))["EURUSD"])
        assert read_state(live, "EURUSD").trained_until <= CUT.replace(tzinfo=UTC)
    assert made[0] == made[1]
    live = tmp_path / "as it was" / "deploy" / "manifest.json"
    bars = f"data.dir={tmp_path}/as it was/bars"
    assert "EURUSD: Better on" in again(live, *EURUSD, ENOUGH, *FILES, bars).said
    (judged,) = Challenges(live).recorded()
    assert judged.market == REAL_MARKET


def test_fewer_bars_after_the_cut_change_nothing_of_the_challenger(with_challengers, live, again):
    again(live, *EURUSD, FEW, *BEGINS, "data.n_bars=9500", *COUNCIL_ALONE)
    made = [entries(challenger(one))["EURUSD"] for one in (with_challengers.live, live)]
    assert made[0] == made[1]


def test_what_a_sweep_of_fewer_bars_has_found_is_taken_over(live, again, tmp_path):
    trees = ("~models.random_forest", "~models.mlp", "~models.lstm", "~null_models.logistic")
    plain = ("debug=smoke", *trees, "regularize=reference", "augmentation=none", *BEGINS)
    swept = datetime(2010, 12, 1, tzinfo=UTC)
    tuned = sweep_of(tmp_path / "tuned.json", *plain, "data.n_bars=7000", until=swept)
    again(live, *EURUSD, FEW, *plain, "data.n_bars=9500", tuned)
    told = entries(challenger(live))["EURUSD"]["tuning"]["XGBoost"]
    assert told["adopted"]
    assert datetime.fromisoformat(told["tuned_until"]) == swept
