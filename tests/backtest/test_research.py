"""A run's folder as the source of what a model predicted that nobody deployed."""

import json

import polars as pl
import pytest

from backtest.research import folder_of, researched
from selection import DeploymentError
from tests.pipelines.conftest import LENIENT, ONE_FOREST, TINY, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    one = ("symbols=[EURUSD]", "~models.council", "deploy.holdout=sealed")
    return trained(folder, *TINY, *LENIENT, *ONE_FOREST, *one)


def conf_digest(run):
    return run.manifest["provenance"]["conf_digest"]


def test_the_rows_and_the_threshold_are_those_of_the_run(run):
    known, threshold = researched(
        run.folder / "out", "EURUSD", "MajorityClass", conf_digest=conf_digest(run)
    )
    rows = pl.read_parquet(run.folder / "out" / "predictions" / "EURUSD_MajorityClass.parquet")
    assert known.p_N.tolist() == rows["p"].to_list()
    assert threshold == run.manifest["selections"]["EURUSD"]["decision_threshold"]


def test_a_run_is_found_by_the_work_that_made_the_manifest(run):
    execution = run.manifest["provenance"]["execution"]
    assert folder_of(run.folder, execution) == run.folder / "out"
    assert folder_of(run.folder, "another") is None
    assert folder_of(run.folder, None) is None
    assert folder_of(run.folder / "nowhere", execution) is None


def test_a_model_that_is_not_there_or_of_another_run_is_refused(run):
    with pytest.raises(DeploymentError, match=r"MLP\.json is missing; there are: MajorityClass, R"):
        researched(run.folder / "out", "EURUSD", "MLP", conf_digest=conf_digest(run))
    with pytest.raises(DeploymentError, match="is not the run that made the manifest"):
        researched(run.folder / "out", "EURUSD", "RandomForest", conf_digest="0" * 64)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"error": "no rows"}, "MLP failed in .*: no rows"),
        ({"predictions": None}, "names no predictions; train again"),
        ({"decision_threshold": "high"}, "names no predictions; train again"),
        ({"decision_threshold": 0.0}, "of MLP in .* must lie between 0 and 1, was 0.0; train aga"),
        ({"decision_threshold": 1.2}, "must lie between 0 and 1, was 1.2"),
        ({"symbol": "GBPUSD"}, "is the result of MLP on GBPUSD, expected MLP on EURUSD; train aga"),
        ({"model_name": "LSTM"}, "is the result of LSTM on EURUSD, expected MLP on EURUSD"),
        ({"digests": {}}, "names no predictions; train again"),
        ({"predictions": {"file": "../../x", "sha256": "0"}}, "leads out of its folder"),
        ({"predictions": {"file": "b.parquet", "sha256": "0"}}, r"b\.parquet has changed since it"),
    ],
)
def test_a_result_that_does_not_say_what_it_predicted_is_refused(tmp_path, change, finding):
    (tmp_path / "results").mkdir()
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "b.parquet").write_bytes(b"rows")
    whole = {"file": "b.parquet", "sha256": "0" * 64}
    result = {"symbol": "EURUSD", "model_name": "MLP", "digests": {"conf": "c"}}
    result |= {"predictions": whole, "decision_threshold": 0.5}
    (tmp_path / "results" / "EURUSD_MLP.json").write_text(json.dumps(result | change))
    with pytest.raises(DeploymentError, match=finding) as refused:
        researched(tmp_path, "EURUSD", "MLP", conf_digest="c")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1, "a": 2}'])
def test_a_result_that_is_no_document_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "EURUSD_MLP.json").write_text(content)
    with pytest.raises(DeploymentError, match=r"EURUSD: .*EURUSD_MLP\.json") as refused:
        researched(tmp_path, "EURUSD", "MLP", conf_digest="c")
    assert "\n" not in str(refused.value)
