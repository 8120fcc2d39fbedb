import subprocess
import sys
from itertools import groupby
from pathlib import Path

from exits.feature_page import markdown_page
from exits.feature_table import FEATURES, GROUPS, INDEX, N_FEATURES, NAMES, SCHEMA_DIGEST
from exits.features import NEUTRAL_F
from exits.parameters import NAMES as PARAMETERS
from exits.parameters import defaults


def test_there_are_208_features_in_the_order_of_their_groups_and_the_page_shows_them_all():
    assert N_FEATURES == len(set(NAMES)) == 208
    assert [INDEX[name] for name in NAMES] == list(range(208))
    counted = [(group, len(list(some))) for group, some in groupby(f.group for f in FEATURES)]
    assert counted == list(zip(GROUPS, (132, 9, 26, 4, 9, 28), strict=True))
    assert NAMES[:132] == PARAMETERS
    page = Path(__file__).parents[2] / "docs" / "exit_features.md"
    assert page.read_text(encoding="utf-8") == markdown_page()


def test_a_feature_says_when_it_is_known_how_it_is_scaled_and_what_it_tells():
    for feature in FEATURES:
        assert feature.known in ("entry", "bar", "close"), feature.name
        assert (feature.scale == "table") == (feature.name in PARAMETERS[:-1]), feature.name
        assert (feature.scale == "code") == bool(feature.codes), feature.name
        assert not feature.codes or 0 <= feature.neutral < len(feature.codes), feature.name
        if feature.group == "encoded_categorical":
            assert feature.codes[int(feature.neutral)] == feature.codes[-1] == "other"
        assert feature.source
        assert feature.does.endswith("."), feature.name


def test_parameters_are_neutral_at_their_defaults_and_the_atr_at_the_measured_one():
    assert NEUTRAL_F[:132].tolist() == defaults(1.0).tolist()


def test_how_a_trade_ended_is_known_at_its_close_alone():
    at_close = {feature.name for feature in FEATURES if feature.known == "close"}
    assert {"win", "stop_hit", "exit_reason", "outcome.exit_bar", "outcome.exit_hour"} < at_close
    assert {"outcome.entry_bar", "outcome.trade_number_in_session"} < at_close
    assert len(at_close) == 13


def test_the_digest_is_the_same_in_every_process_and_the_table_comes_without_anything_heavy():
    code = "import sys; from exits.feature_table import SCHEMA_DIGEST; print(SCHEMA_DIGEST);"
    code += "print(*{m.partition('.')[0] for m in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, modules = ended.stdout.splitlines()
    assert digest == SCHEMA_DIGEST
    assert not {"numba", "polars", "scipy", "torch"} & set(modules.split())
