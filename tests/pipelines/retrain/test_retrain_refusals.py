"""What retrain refuses before anything is trained."""

import pytest

from pipelines.command import ConfigError
from pipelines.retrain import retrain, with_whole_keys
from pipelines.retrain_settings import retrain_settings
from tests.pipelines.conftest import composed


def ask(manifest, *overrides):
    given = (f"manifest.path={manifest}", "debug=smoke", "symbols=null", *overrides)
    return retrain(composed(*given, config_name="retrain"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("until=2011-06-19",), "until goes with symbols="),
        (("symbols=[EURUSD]", "until=June"), "until must be a day"),
        (("learn_from=June",), "learn_from must be a day"),
        ((), r"drift: .*no such report; run python -m pipelines.drift first"),
        (("symbols=[EURUSD]", "labels.max_bars=24"), r"labels.max_bars: 24 here, 48 in the"),
        (("symbols=[EURUSD]", "events.min_spacing_bars=2"), "events.min_spacing_bars: 2 here"),
        (("symbols=[EURUSD]", "seed=8"), "seed: 8 here, 7 in the manifest"),
        (("symbols=[EURUSD]", "costs.spread_atr=0.3"), "costs: 0.35 ATR a trade here, 0.13"),
        (("symbols=[USDJPY]",), "symbols: USDJPY is not in the manifest"),
        (("challenge.min_events=3",), "challenge.min_events must be at least 10"),
        (("challenge.alpha=0.7",), r"challenge.alpha must be in \(0, 0.5\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(manifest, given, said):
    with pytest.raises(ConfigError, match=said):
        ask(manifest, *given)
    assert not list(manifest.parent.glob("challengers/*/*"))


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such manifest; train first"):
        ask(tmp_path / "deploy" / "none.json", "symbols=[EURUSD]")


def test_tables_are_refused(tmp_path, manifest):
    (tmp_path / "EURUSD.csv").write_text("timestamp,label,a\n2020-01-01,1,2\n")
    given = (f"manifest.path={manifest}", "data=table", f"data.dir={tmp_path}")
    with pytest.raises(ConfigError, match="data=table holds no bars"):
        retrain_settings(composed(*given, config_name="retrain"))


def test_the_short_form_names_the_manifest_as_other_commands_do():
    assert with_whole_keys(["manifest=a.json", "seed=3"]) == ["manifest.path=a.json", "seed=3"]
