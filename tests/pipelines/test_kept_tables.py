"""What ``data.cache`` keeps: the same preparation, reports, lines and results, only sooner."""

import json
import logging

import pytest

from pipelines.command import ConfigError
from pipelines.features import write_features
from pipelines.preparation import prepare_symbols
from pipelines.run_digest import digest, without_places
from pipelines.settings import train_settings
from tests.pipelines.conftest import COUNCIL_ALONE, command, composed, trained, write_bars

FOLDERS = ("data=bars", "split.min_development_rows=50")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """Two symbols that are prepared, one with warnings; one with too few rows; one broken."""
    folder = tmp_path_factory.mktemp("prices")
    write_bars(folder, "EURUSD", 4000)
    write_bars(folder, "GBPUSD", 4000, edge=0.5)
    write_bars(folder, "USDJPY", 300)
    (folder / "AUDUSD.csv").write_text("timestamp,open\n2024-01-01,1\n")
    return folder


def prepared(folder, caplog, *overrides):
    """Prepare every symbol; return what a run sees and keeps of it."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        done = prepare_symbols(train_settings(composed(*overrides)))
    written = {symbol: path.read_bytes() for symbol, path in done.write_reports(folder).items()}
    rows = {
        symbol: (one.split.development.digest(), one.notes, one.suspect)
        for symbol, one in done.prepared.items()
    }
    said = [(one.name, one.levelno, one.message) for one in caplog.records]
    return {"reports": written, "rows": rows, "said": said, "digests": done.digests} | {
        "failed": done.failed,
        "holdouts": {
            symbol: one.holdout.samples.digest()
            for symbol, one in done.prepared.items()
            if one.holdout
        },
    }


def test_a_preparation_is_the_same_without_a_cache_with_an_empty_one_and_a_full_one(
    prices, tmp_path, caplog
):
    data = (*FOLDERS, f"data.dir={prices}", "data.time_zone=UTC+3")
    plain = prepared(tmp_path / "a", caplog, *data, "data.cache=null")
    for _ in range(2):
        assert prepared(tmp_path / "b", caplog, *data, f"data.cache={tmp_path}/kept") == plain
    assert sorted(plain["rows"]) == ["EURUSD", "GBPUSD"]
    assert sorted(plain["failed"]) == ["AUDUSD", "USDJPY"]
    assert any("EURUSD: the week's hole" in message for _, _, message in plain["said"])
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_a_simulated_preparation_is_the_same(tmp_path, caplog):
    data = ("debug=smoke", "data.n_bars=3000")
    plain = prepared(tmp_path / "a", caplog, *data, "data.cache=null")
    for _ in range(2):
        assert prepared(tmp_path / "b", caplog, *data, f"data.cache={tmp_path}/kept") == plain
    assert len(plain["rows"]) == 1


def test_a_preparation_from_what_was_kept_computes_no_bar(prices, tmp_path, caplog, monkeypatch):
    data = (*FOLDERS, f"data.dir={prices}", f"data.cache={tmp_path}/kept")
    first = prepared(tmp_path, caplog, *data)
    for name in ("build_event_table", "report_of"):
        monkeypatch.setattr(f"market.source.{name}", None)
    monkeypatch.setattr("market.bar_files.checked", None)
    without = (*data, "symbols=[EURUSD,GBPUSD,USDJPY]")
    assert prepared(tmp_path, caplog, *without)["rows"] == first["rows"]


@pytest.mark.parametrize("option", ["bars", "demo"])
def test_where_tables_are_kept_is_no_part_of_what_a_run_is(option, prices):
    data = (f"data={option}",) + ((f"data.dir={prices}",) if option == "bars" else ())
    confs = [
        composed(*data, "data.cache=null"),
        composed(*data, "data.cache=here", "data.cache_max_gb=0.5"),
    ]
    assert confs[0] != confs[1]
    assert len({digest(without_places(conf)) for conf in confs}) == 1


def test_nothing_but_the_first_look_tells_a_run_with_a_cache(tmp_path):
    small = ("debug=smoke", *COUNCIL_ALONE, "data.n_bars=3000")
    runs = [
        trained(tmp_path / name, *small, cache)
        for name, cache in (
            ("plain", "data.cache=null"),
            ("empty", f"data.cache={tmp_path}/kept"),
            ("full", f"data.cache={tmp_path}/kept"),
        )
    ]
    lines = {json.dumps(lasting(run.results), sort_keys=True) for run in runs}
    assert len(lines) == 1
    assert len({json.dumps(run.manifest["selections"]) for run in runs}) == 1
    reports = [(run.folder / "out" / "data" / "EURUSD.json").read_bytes() for run in runs]
    assert len(set(reports)) == 1


def lasting(results):
    measured = ("timestamp", "training_duration_seconds", "cpu_seconds")
    return {
        name: {key: value for key, value in result.items() if key not in measured}
        for name, result in results.items()
    }


def test_the_features_command_writes_the_same_bytes(prices, tmp_path):
    data = ("data=bars", f"data.dir={prices}")
    for name, cache in (("plain", "null"), ("empty", "kept"), ("full", "kept")):
        kept = f"data.cache={tmp_path / cache if cache == 'kept' else cache}"
        places = (f"features_dir={tmp_path / name}", kept)
        assert write_features(composed(*data, *places, config_name="features")) == 3
    for symbol in ("EURUSD", "USDJPY"):
        files = [tmp_path / name / f"{symbol}.parquet" for name in ("plain", "empty", "full")]
        assert len({file.read_bytes() for file in files}) == 1


def test_a_run_keeps_its_tables_below_runs_unless_told_otherwise(tmp_path):
    write_bars(tmp_path, "EURUSD", 1000)
    data = ("data=bars", f"data.dir={tmp_path}/EURUSD.csv", f"features_dir={tmp_path}/out")
    assert command("features", *data, cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "runs" / "cache").glob("*.events"))) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.cache=5", "data.cache must be text or null, was 5"),
        ("data.cache=''", "data.cache must name a folder, or be null, was ''"),
        ("data.cache_max_gb=0", "data.cache_max_gb must be above 0, was 0.0"),
        ("data.cache_max_gb=much", "data.cache_max_gb must be a number, was 'much'"),
    ],
)
def test_an_unusable_cache_is_refused_before_data_is_read(override, said):
    with pytest.raises(ConfigError) as error:
        train_settings(composed(override))
    assert str(error.value) == said


def test_a_cache_in_the_way_of_the_data_is_said_once_and_ends_nothing(prices, tmp_path, caplog):
    data = (*FOLDERS, f"data.dir={prices}")
    before = sorted(prices.iterdir())
    seen = prepared(tmp_path, caplog, *data, f"data.cache={prices}/kept")
    said = [message for _, _, message in seen["said"] if message.startswith("data.cache: ")]
    assert said == [
        f"data.cache: {prices}/kept lies in data.dir, which is left alone: features and labels are "
        "not kept for the next run; name another folder, or null"
    ]
    assert len(seen["rows"]) == 2
    assert sorted(prices.iterdir()) == before
