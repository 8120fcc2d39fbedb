"""The file that a sweep leaves behind: read as it was written, or refused in one line."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.tuned_file import TunedFile, TunedModel, read_tuned, write_tuned
from tests.selection.founds import UNTIL, found, turned_down

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
# Where a study's entry stands in the file.
STUDY = ("studies", "EURUSD", "XGBoost")


def file_of(*models: TunedModel, **changes: Any) -> TunedFile:
    studies: dict[str, dict[str, TunedModel]] = {}
    for one in models:
        studies.setdefault(one.symbol, {})[one.model] = one
    given = {"timestamp": NOW, "simulated": True, "seed": 7, "definitions": {}, "studies": studies}
    return TunedFile(**{**given, **changes})


@given(definitions=st.dictionaries(TEXT, PLAIN), values=st.dictionaries(TEXT, PLAIN))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    definitions: dict[str, Any],
    values: dict[str, Any],
) -> None:
    path = tmp_path_factory.getbasetemp() / "tuned.json"
    bare = turned_down(
        model="MLP", hyperparameters=values, later=None, cross_validated=None, adoption=None
    )
    written = file_of(found(), bare, definitions=definitions)
    write_tuned(path, written)
    assert read_tuned(path) == written


def test_times_of_any_zone_are_kept_in_utc(tmp_path: Path) -> None:
    east = UNTIL.astimezone(timezone(timedelta(hours=5, minutes=30)))
    write_tuned(tmp_path / "tuned.json", file_of(found(tuned_until=east)))
    one = read_tuned(tmp_path / "tuned.json").found("EURUSD", "XGBoost")
    assert one is not None
    assert (one.tuned_until, one.tuned_until.tzinfo) == (UNTIL, UTC)
    assert one.n_trials == 50


def test_what_was_not_swept_is_not_found() -> None:
    swept = file_of(found())
    assert swept.found("EURUSD", "MLP") is None
    assert swept.found("GBPUSD", "XGBoost") is None


@pytest.mark.parametrize(
    ("place", "value", "finding"),
    [
        (("schema_version",), 2, "schema_version must be 1, was 2"),
        (("schema_version",), True, "schema_version must be 1, was True"),
        (("timestamp",), "noon", "timestamp: input should be a valid datetime"),
        (("timestamp",), "2024-01-01T00:00:00", "timestamp must be a time with its zone"),
        (("simulated",), 1, "simulated: input should be a valid boolean, was 1"),
        (("seed",), 7.5, "seed: input should be a valid integer, was 7.5"),
        (("studies",), [], "studies: input should be an object"),
        (("studies", "EURUSD"), 3, "studies.EURUSD: input should be an object, was 3"),
        (("studies", "../x"), {"MLP": {}}, "studies.../x.MLP.adopted is missing"),
        ((*STUDY, "adopted"), "yes", "studies.EURUSD.XGBoost.adopted: input should be a valid"),
        ((*STUDY, "adoption"), None, "studies.EURUSD.XGBoost.adopted must be false without a"),
        ((*STUDY, "adoption", "p_value"), 0.06, "adopted must be false without a test"),
        ((*STUDY, "adoption", "p_value"), 1.5, "adoption.p_value must be in [0, 1], was 1.5"),
        ((*STUDY, "adoption", "look"), 0, "adoption.look must be at least 1, was 0"),
        ((*STUDY, "later", "tuned", "accuracy"), 65.0, "later.tuned.accuracy must be in [0, 1]"),
        ((*STUDY, "trials"), {"complete": 1}, "trials must be counts of complete, pruned, failed"),
        ((*STUDY, "trials", "failed"), -1, "trials must be counts of complete, pruned, failed"),
        ((*STUDY, "tuned_until"), "2024-01-01", "tuned_until: input should be a valid datetime"),
        ((*STUDY, "reason"), "two\nlines", "reason must be one line of text, was 'two\\nlines'"),
        ((*STUDY, "hyperparameters"), {}, "hyperparameters must be those adopted, was {}"),
        ((*STUDY, "hyperparameters"), [1], "hyperparameters: input should be an object"),
    ],
)
def test_what_is_not_as_it_must_be_is_named_in_one_line(
    place: tuple[str, ...], value: Any, finding: str, tmp_path: Path
) -> None:
    path = tmp_path / "tuned.json"
    write_tuned(path, file_of(found()))
    document = inner = json.loads(path.read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"tuned\.json: ") as refused:
        read_tuned(path)
    assert finding in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("place", [(), ("studies", "EURUSD", "XGBoost")])
def test_keys_that_are_missing_or_unknown_are_named(place: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    write_tuned(path, file_of(found()))
    for change, finding in ((lambda one: one.update(odd=1), "odd: unknown key"), _MISSING):
        document = inner = json.loads(path.read_text())
        for key in place:
            inner = inner[key]
        change(inner)
        (tmp_path / "other.json").write_text(json.dumps(document))
        with pytest.raises(ValueError, match=finding):
            read_tuned(tmp_path / "other.json")


_MISSING = (lambda one: one.pop(sorted(one)[0]), "(adopted|definitions) is missing")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"any\.json: ") as refused:
        read_tuned(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, float("nan"), {1, 2}, "\ud800"])
def test_what_could_not_be_read_back_is_not_written(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    with pytest.raises(ValueError, match=r"tuned\.json: "):
        write_tuned(path, file_of(found(hyperparameters={"hidden": value})))
    assert not path.exists()
