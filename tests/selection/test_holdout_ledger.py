"""Openings of one window of EURUSD, January to March 2025, unless a test says otherwise."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.holdout_ledger import REAL_MARKET, HoldoutLedger, Opening, Openings, in_words

ROOT = Path(__file__).parents[2]
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST = Opening(
    symbol="EURUSD",
    market=REAL_MARKET,
    start_utc=START,
    end_utc=END,
    conf_digest="c0ffee",
    data_digest="da7a",
    run_id="r1",
    time_utc=NOON,
    model="Council",
)
OTHER_LOOKS: list[dict[str, Any]] = [
    {"conf_digest": "decaf"},
    {"data_digest": "da7a2"},
    {"model": "MLP"},
    {"end_utc": END + DAY},
    {"start_utc": START - DAY},
    {"start_utc": END, "end_utc": END + 90 * DAY},
    {"start_utc": START - 90 * DAY, "end_utc": START},
]
OTHER_MARKETS: list[dict[str, Any]] = [
    {"symbol": "GBPUSD"},
    {"market": "simulated EURUSD seed 7"},
    {"start_utc": END + timedelta(microseconds=1), "end_utc": END + 90 * DAY},
    {"start_utc": START - 90 * DAY, "end_utc": START - timedelta(microseconds=1)},
]


def opening(**changes: Any) -> Opening:
    values = {name: getattr(FIRST, name) for name in Opening.__dataclass_fields__}
    return Opening(**{**values, **changes})


@pytest.fixture
def ledger(tmp_path: Path) -> HoldoutLedger:
    return HoldoutLedger(tmp_path / "deploy" / "holdout_ledger.jsonl")


def test_an_opening_is_read_back_as_it_was_recorded(ledger: HoldoutLedger) -> None:
    assert ledger.recorded() == []
    given = [FIRST, opening(run_id=None, symbol="Öl\n", market="simulated, seed 7")]
    for one in given:
        ledger.record(one)
    assert HoldoutLedger(ledger.path).recorded() == given
    lines = ledger.path.read_text().splitlines()
    assert [json.loads(line)["run_id"] for line in lines] == ["r1", None]


def test_the_first_opening_has_none_before_it(ledger: HoldoutLedger) -> None:
    first = ledger.record(FIRST)
    assert first == Openings(1, 1, None, None)
    assert in_words(first) == "opened once"


def test_a_repeat_of_a_run_is_written_down_but_is_no_other_configuration(
    ledger: HoldoutLedger,
) -> None:
    ledger.record(FIRST)
    again = ledger.record(opening(run_id="r2", time_utc=NOON + DAY))
    assert again == Openings(2, 1, NOON, NOON)
    assert [one.run_id for one in ledger.recorded()] == ["r1", "r2"]
    assert in_words(again) == "opened 2 times, by one configuration"


def test_openings_of_another_ledger_are_taken_over_once_and_count(
    ledger: HoldoutLedger, tmp_path: Path
) -> None:
    other = HoldoutLedger(tmp_path / "staging" / "holdout_ledger.jsonl")
    made = [FIRST, opening(conf_digest="decaf")]
    for one in made:
        other.record(one)
    assert ledger.take_over(other.recorded()) == 2
    assert ledger.take_over(other.recorded()) == 0
    assert ledger.recorded() == made
    assert ledger.record(opening(conf_digest="tea")).n_configurations == 3


def test_openings_known_from_elsewhere_are_counted_and_not_written(ledger: HoldoutLedger) -> None:
    counted = ledger.record(FIRST, unrecorded=[opening(conf_digest="decaf", time_utc=NOON - DAY)])
    assert counted == Openings(2, 2, NOON - DAY, NOON - DAY)
    assert ledger.recorded() == [FIRST]


def test_a_further_start_of_the_same_work_is_no_further_look(ledger: HoldoutLedger) -> None:
    before = ledger.record(opening())
    first = ledger.record(opening(execution="e1"))
    again = ledger.record(opening(execution="e1", run_id="r2", time_utc=NOON + DAY))
    assert (before.n_openings, first.n_openings, again) == (1, 2, first)
    assert len(ledger.recorded()) == 2


@pytest.mark.parametrize("change", [*OTHER_LOOKS, {"execution": "e2"}])
def test_other_work_or_other_figures_of_the_same_work_are_a_further_look(
    ledger: HoldoutLedger, change: dict[str, Any]
) -> None:
    ledger.record(opening(execution="e1"))
    other = opening(**{"execution": "e1", **change})
    assert ledger.record(other).n_openings == 2


def test_lines_of_before_executions_had_names_are_openings(ledger: HoldoutLedger) -> None:
    ledger.record(opening())
    line = json.loads(ledger.path.read_text())
    del line["execution"]
    ledger.path.write_text(json.dumps(line) + "\n")
    assert ledger.recorded() == [FIRST]
    assert ledger.record(opening(execution="e1")).n_openings == 2


@pytest.mark.parametrize("changes", OTHER_LOOKS)
def test_other_figures_of_the_same_months_count_as_another_configuration(
    ledger: HoldoutLedger, changes: dict[str, Any]
) -> None:
    ledger.record(FIRST)
    assert ledger.record(opening(**changes)) == Openings(2, 2, NOON, NOON)
    assert ledger.record(FIRST).n_configurations == 2


@pytest.mark.parametrize("changes", OTHER_MARKETS)
def test_another_market_or_a_window_beside_it_is_still_unseen(
    ledger: HoldoutLedger, changes: dict[str, Any]
) -> None:
    ledger.record(FIRST)
    assert ledger.record(opening(**changes, conf_digest="decaf")) == Openings(1, 1, None, None)
    assert ledger.record(FIRST).n_configurations == 1


def test_the_words_say_how_often_by_how_many_and_since_when(ledger: HoldoutLedger) -> None:
    for days, conf in ((0, "a"), (-1, "b"), (5, "a")):  # one machine's clock is a day behind
        ledger.record(opening(conf_digest=conf, time_utc=NOON + days * DAY))
    fourth = ledger.record(opening(conf_digest="c", time_utc=NOON + 9 * DAY))
    assert fourth == Openings(4, 3, NOON - DAY, NOON + 5 * DAY)
    assert in_words(fourth) == (
        "opened 4 times since 2026-01-01, by 3 configurations: its figures are no longer unseen"
    )


DAYS = st.integers(0, 9)
ANY_OPENING = st.builds(
    lambda symbol, market, conf, data, model, first, days: opening(
        symbol=symbol,
        market=market,
        conf_digest=conf,
        data_digest=data,
        model=model,
        start_utc=START + first * DAY,
        end_utc=START + (first + days) * DAY,
    ),
    *(st.sampled_from(pair) for pair in (("A", "B"), ("real", "s7"), "cd", "xy", ("MLP", "LSTM"))),
    DAYS,
    DAYS,
)


@settings(max_examples=40)
@given(asked=ANY_OPENING, others=st.lists(ANY_OPENING, max_size=12))
def test_the_counts_never_fall_as_openings_are_added(
    tmp_path_factory: pytest.TempPathFactory, asked: Opening, others: list[Opening]
) -> None:
    ledger = HoldoutLedger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    counts = [ledger.record(asked)]
    for other in others:
        ledger.record(other)
        counts.append(ledger.record(asked))
    n_seen = [count.n_configurations for count in counts]
    assert n_seen == sorted(n_seen)
    assert n_seen[-1] <= len({asked, *others})
    n_overlapping = sum(asked.overlaps(other) for other in others)
    assert counts[-1].n_openings == len(counts) + n_overlapping


@given(one=ANY_OPENING, other=ANY_OPENING)
def test_windows_overlap_when_they_share_a_day(one: Opening, other: Opening) -> None:
    def days(window: Opening) -> set[datetime]:
        n_days = (window.end_utc - window.start_utc).days
        return {window.start_utc + day * DAY for day in range(n_days + 1)}

    same_market = (one.symbol, one.market) == (other.symbol, other.market)
    assert one.overlaps(other) == (same_market and not days(one).isdisjoint(days(other)))


WRITER = """
import sys, time
from datetime import datetime
from pathlib import Path
from selection.holdout_ledger import HoldoutLedger, Opening

path, name = Path(sys.argv[1]), sys.argv[2]
at = datetime.fromisoformat("2025-01-01T00:00:00+00:00")
path.with_name(name).touch()
while not path.with_name("go").exists():
    time.sleep(0.001)
for i in range(40):
    one = Opening(symbol="EURUSD", market="real", start_utc=at, end_utc=at, time_utc=at,
                  conf_digest=f"{name}{i}", data_digest="d", run_id=None, model="MLP")
    print(HoldoutLedger(path).record(one).n_openings)
"""


def test_two_processes_at_once_lose_nothing_and_never_get_the_same_count(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE) for name in "ab"
    ]
    while not all((tmp_path / name).exists() for name in "ab"):
        assert all(writer.poll() is None for writer in writers)
    (tmp_path / "go").touch()
    printed = [writer.communicate()[0].split() for writer in writers]
    assert sorted(int(count) for counts in printed for count in counts) == list(range(1, 81))
    found = [one.conf_digest for one in HoldoutLedger(path).recorded()]
    assert sorted(found) == sorted(f"{name}{i}" for name in "ab" for i in range(40))


@settings(max_examples=60)
@given(lost=st.lists(st.integers(1, 350), min_size=1, max_size=4))
def test_a_writer_that_crashed_anywhere_costs_no_opening_but_its_own(
    tmp_path_factory: pytest.TempPathFactory, lost: list[int]
) -> None:
    ledger = HoldoutLedger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    ledger.record(FIRST)
    kept = [FIRST]
    for crash, n_lost_bytes in enumerate(lost):
        n_before, crashed = ledger.path.stat().st_size, opening(conf_digest=f"crash {crash}")
        ledger.record(crashed)
        whole = ledger.path.read_bytes()
        ledger.path.write_bytes(whole[: max(n_before, len(whole) - n_lost_bytes)])
        kept += [crashed] if n_lost_bytes == 1 else []  # all but its line end was there
        assert ledger.recorded() == kept
    before = ledger.path.read_bytes()
    assert ledger.record(opening(conf_digest="last")).n_openings == len(kept) + 1
    assert ledger.path.read_bytes().startswith(before)
    assert ledger.recorded() == [*kept, opening(conf_digest="last")]


def test_a_failing_disk_is_reported_before_anyone_opens_the_holdout(
    ledger: HoldoutLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        ledger.record(FIRST)


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.pop(key)


def having(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.update({key: value})


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (without("conf_digest"), "no conf_digest"),
        (having("symbol", 7), "symbol must be a text, was 7"),
        (having("market", None), "market must be a text, was None"),
        (having("model", ""), "model must be a text"),
        (having("run_id", ""), "run_id must be a text"),
        (having("time_utc", 2026), "time_utc must be a time with its zone, was 2026"),
        (having("start_utc", "2025-01-01"), "start_utc must be a time with its zone"),
        (having("start_utc", "in\nMay"), "Invalid isoformat string"),
        (having("end_utc", "2024-01-01T00:00:00Z"), "end_utc must not be before start_utc"),
    ],
)
def test_a_line_that_is_no_opening_is_refused_with_its_place(
    ledger: HoldoutLedger, spoil: Callable[[dict[str, Any]], object], finding: str
) -> None:
    ledger.record(FIRST)
    document = json.loads(ledger.path.read_text())
    spoil(document)
    with ledger.path.open("a") as file:
        file.write(f"{json.dumps(document)}\n")
    with pytest.raises(ValueError, match=rf"holdout_ledger.jsonl, line 2: .*{finding}") as refused:
        ledger.recorded()
    assert "restore the line" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("line", [b"{half", b"\xff\x00", b"[1, 2]", b"7"])
def test_nothing_is_written_behind_a_broken_line(ledger: HoldoutLedger, line: bytes) -> None:
    ledger.record(FIRST)
    ledger.path.write_bytes(line + b"\n" + ledger.path.read_bytes())
    before = ledger.path.read_bytes()
    with pytest.raises(ValueError, match=r"holdout_ledger.jsonl, line 1: ") as refused:
        ledger.record(FIRST)
    assert str(refused.value).isprintable()
    assert ledger.path.read_bytes() == before


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\n\n", b"\n  "])
def test_what_an_editor_does_to_line_ends_and_later_keys_hide_no_opening(
    ledger: HoldoutLedger, ending: bytes
) -> None:
    ledger.record(FIRST)
    document = json.loads(ledger.path.read_text()) | {"reviewer": {"name": "x"}}
    ledger.path.write_bytes(json.dumps(document).encode() + ending)
    assert ledger.recorded() == [FIRST]
    assert ledger.record(opening(run_id="r2")).n_openings == 2
    assert ledger.recorded() == [FIRST, opening(run_id="r2")]
    assert b"reviewer" in ledger.path.read_bytes()


def test_other_line_ends_do_not_turn_a_line_cut_short_into_an_opening(
    ledger: HoldoutLedger,
) -> None:
    ledger.record(FIRST)
    ledger.path.write_bytes(ledger.path.read_bytes()[:99])
    assert ledger.record(FIRST).n_openings == 1
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"\n", b"\r\n"))
    assert ledger.recorded() == [FIRST]


def test_times_of_any_zone_are_kept_in_utc_and_naive_ones_refused() -> None:
    plus_two = START.astimezone(timezone(timedelta(hours=2)))
    assert opening(start_utc=plus_two).start_utc.isoformat() == "2025-01-01T00:00:00+00:00"
    with pytest.raises(ValueError, match=r"time_utc must be a time with its zone, was datetime"):
        opening(time_utc=NOON.replace(tzinfo=None))
