"""A net that was chosen is run again from other seeds before it may be deployed."""

import numpy as np
import polars as pl
import pytest

from models.base import ModelError
from models.calibration import Calibration
from models.mlp import MLP
from models.store import load_model
from pipelines import finalists
from selection import DeployedModels
from tests.pipelines.conftest import trained
from training.engine import run_tasks

HOUR = np.timedelta64(3_600_000_000, "us")
N_ROWS, N_FEATURES = 800, 20
# A walk-forward, and the fit that would be deployed.
FIRST_RUN_FITS, FURTHER_RUN_FITS = 7, 6


@pytest.fixture(scope="module")
def diffuse(tmp_path_factory):
    """Return a folder with a table in which every one of many features tells a little.

    Trees find that slowly and a regression as shy as the council's stays far from certain, so
    that a net is better than the council: nobody has to pretend.
    """
    folder, rng = tmp_path_factory.mktemp("diffuse"), np.random.default_rng(0)
    x_NF = rng.normal(size=(N_ROWS, N_FEATURES))
    logit_N = 6 * x_NF.sum(axis=1) / np.sqrt(N_FEATURES)
    t0_N = np.datetime64("2020-01-01T00", "us") + np.arange(N_ROWS) * HOUR
    features = {f"x{f:02d}": x_NF[:, f] for f in range(N_FEATURES)}
    label_N = (logit_N + rng.logistic(size=N_ROWS) > 0).astype(int)
    columns = {"timestamp": t0_N, **features, "label": label_N, "label_end": t0_N + HOUR // 2}
    pl.DataFrame(columns).write_csv(folder / "EURUSD.csv")
    return folder


@pytest.fixture(scope="module")
def judging(diffuse):
    """Return overrides that train council and net on the table."""
    models = ("~models.random_forest", "~models.xgboost", "~models.lstm", "~null_models.logistic")
    quick = ("models.mlp.max_epochs=30", "regularize=reference", "augmentation=none")
    data = ("data=table", f"data.dir={diffuse}", "symbols=null")
    return ("debug=smoke", *data, *models, *quick, "split.min_development_rows=50")


@pytest.fixture(scope="module")
def stood(judging, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("stood"), *judging)


def net(run):
    return run.manifest["selections"]["EURUSD"]["evidence"]["singles"]["MLP"]


@pytest.fixture
def failing(monkeypatch):
    """Let every fit of the net fail from one number up to another."""
    begun, counted = MLP._begun, []

    def set_to(first, last):
        def counting(self, *arguments, **keywords):
            counted.append(self)
            if first <= len(counted) <= last:
                raise ModelError("no luck")
            return begun(self, *arguments, **keywords)

        monkeypatch.setattr(MLP, "_begun", counting)
        return counted

    return set_to


def test_a_net_that_is_better_from_three_seeds_is_deployed(stood):
    selection = stood.manifest["selections"]["EURUSD"]
    assert stood.code == 0
    assert selection["selected_model"] == "MLP"
    assert selection["refused"] == {"Council": "MLP is better"}
    assert "EURUSD MLP was chosen: it runs from 2 other seeds\n" in stood.printed
    for seed in (8, 9):
        assert f"EURUSD MLP from seed {seed}: " in stood.printed
    gains = net(stood)["gain_over_council_by_seed"]
    assert len(gains) == len(set(gains)) == 3
    assert net(stood)["gain_over_council"] == sorted(gains)[1]
    assert net(stood)["p_over_council"] == sorted(net(stood)["p_over_council_by_seed"])[1]


def test_other_seeds_leave_no_results_models_or_predictions_behind(stood):
    out = stood.folder / "out"
    assert {path.name for path in (out / "models").iterdir()} == {
        f"EURUSD_{name}" for name in ("MLP", "Council", "MajorityClass")
    }
    assert len(list((out / "predictions").iterdir())) == len(stood.results) == 3
    assert stood.results["EURUSD_MLP"]["seed"] == 7


def test_one_seed_is_enough_where_the_configuration_says_so(judging, tmp_path):
    run = trained(tmp_path, *judging, "selection.seeds=1")
    assert run.manifest["selections"]["EURUSD"]["selected_model"] == "MLP"
    assert len(net(run)["p_over_council_by_seed"]) == 1
    assert "other seeds" not in run.printed


def test_the_verdict_is_the_same_whoever_computes_the_other_seeds(judging, tmp_path, stood):
    together = trained(tmp_path, *judging, "execution.workers=2")
    for kept in ("evidence", "reason", "refused", "selected_model"):
        assert (
            together.manifest["selections"]["EURUSD"][kept]
            == (stood.manifest["selections"]["EURUSD"][kept])
        )


def test_the_verdict_is_the_same_whichever_seed_ends_first(judging, tmp_path, stood, monkeypatch):
    def last_first(tasks, *given):
        yield from reversed(list(run_tasks(tasks, *given)))

    monkeypatch.setattr(finalists, "run_tasks", last_first)
    run = trained(tmp_path, *judging)
    assert run.printed.index("from seed 9") < run.printed.index("from seed 8")
    assert net(run) == net(stood)


def test_a_seed_that_fails_is_told_and_the_others_decide(judging, tmp_path, failing, stood):
    failing(FIRST_RUN_FITS + 1, FIRST_RUN_FITS + FURTHER_RUN_FITS)
    run = trained(tmp_path, *judging)
    assert run.code == 0
    assert "EURUSD MLP from seed 8 failed: " in run.printed
    kept = [net(stood)["p_over_council_by_seed"][number] for number in (0, 2)]
    assert net(run)["p_over_council_by_seed"] == kept
    assert run.manifest["selections"]["EURUSD"]["selected_model"] == "MLP"


def test_a_net_whose_other_seeds_all_fail_gives_way_to_the_council(judging, tmp_path, failing):
    counted = failing(FIRST_RUN_FITS + 1, 10**6)
    run = trained(tmp_path, *judging)
    assert len(counted) > FIRST_RUN_FITS
    assert run.code == 0
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["selected_model"] == "Council"
    assert selection["refused"]["MLP"].startswith("not better than the council")
    assert "error" not in run.results["EURUSD_MLP"]


def test_deployed_probabilities_are_the_calibrated_ones_of_the_artifact(stood, diffuse):
    selection = stood.manifest["selections"]["EURUSD"]
    assert selection["calibration"] == stood.results["EURUSD_MLP"]["calibration"]
    assert selection["calibration"]["kind"] == "platt"
    rows = pl.read_csv(diffuse / "EURUSD.csv")[-50:].select(selection["features"]["names"])
    deployed = DeployedModels.from_manifest(stood.folder / "deploy" / "manifest.json")
    said = deployed.predict_proba("EURUSD", rows)
    model = load_model(stood.folder / "out" / "models" / "EURUSD_MLP")
    np.testing.assert_allclose(said, model.predict_proba(rows.to_numpy()), rtol=0, atol=1e-5)
    model.calibration = Calibration.none()
    bare = model.predict_proba(rows.to_numpy())
    assert np.abs(said - bare).max() > 0.02
    assert (np.argsort(said[:, 1]) == np.argsort(bare[:, 1])).all()


def test_the_trades_counted_are_those_a_deployer_would_have_taken(stood):
    selection = stood.manifest["selections"]["EURUSD"]
    rows = pl.read_parquet(stood.folder / "out" / "predictions" / "EURUSD_MLP.parquet")
    taken = rows.filter(pl.col("p_calibrated") >= selection["decision_threshold"])
    assert selection["expectancy"]["trades"] == len(taken)
    assert len(taken) != len(rows.filter(pl.col("p") >= selection["decision_threshold"]))
    mean_r = (taken["label"].cast(float) * 2 - 1).mean() - 0.13 / 2.0
    assert selection["expectancy"]["expectancy_r"] == pytest.approx(mean_r)


def test_without_calibration_a_model_answers_as_it_was_fitted(judging, tmp_path):
    run = trained(tmp_path, *judging, "training.calibration=none", "selection.seeds=1")
    assert run.manifest["selections"]["EURUSD"]["calibration"] is None
    assert run.results["EURUSD_MLP"]["calibration"] is None
    frame = pl.read_parquet(run.folder / "out" / "predictions" / "EURUSD_MLP.parquet")
    assert "p_calibrated" not in frame.columns
    assert run.code == 0
