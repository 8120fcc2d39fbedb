"""The page of a replay: whole, quiet about nothing, and the same every time."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from backtest import figures
from backtest.replayed import TRADES, Replayed
from backtest.report import ReportContext, render, warnings_of, write_report
from backtest.stats import statistics
from tests.backtest.made_replays import (
    MONDAY,
    drawn_r,
    made_equity,
    made_replay,
    made_trades,
    spread_entries,
)

CONTEXT = ReportContext(
    title="Replay",
    manifest="deploy/deployment_manifest.json",
    manifest_digest="0" * 64,
    policy="defaults",
    models={"EURUSD": "xgboost"},
    not_traded={"USDJPY": "no model deployed"},
    settings={"costs": {"spread_atr": 0.05}, "exits": {"evaluator": False}},
)


def _replay(n: int, seed: int = 0) -> Replayed:
    if not n:
        return Replayed.empty()
    rng = np.random.default_rng(seed)
    r_N = drawn_r(rng, n)
    trades = made_trades(
        r_N,
        entry_time=spread_entries(rng, n, 400),
        mae_r=-rng.uniform(0, 1, n),
        mfe_r=rng.gamma(2, 1, n),
        exit_reason=rng.choice(["take_profit", "stop_loss"], n),
    )
    return made_replay(trades, made_equity(100_000 + 10 * r_N.cumsum(), step=timedelta(hours=9)))


def _page(n: int, context: ReportContext = CONTEXT, **settings: Any) -> str:
    replayed = _replay(n)
    return render(replayed, statistics(replayed, **settings), context)


class _Strict(HTMLParser):
    """Fails on tags that are not closed in their order, and keeps ids and what is loaded."""

    _EMPTY = frozenset({"meta", "br", "path", "circle", "use", "image", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, attrs)
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._EMPTY:
            assert self.open.pop() == tag

    def _see(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "action", "data"}:
                self.loaded.append(value or "")


@pytest.mark.parametrize("n", [0, 1, 30, 2000])
def test_the_page_is_whole_and_loads_nothing(n: int) -> None:
    page = _page(n)
    read = _Strict()
    read.feed(page)
    assert not read.open
    assert len(read.ids) == len(set(read.ids))
    assert not read.tags & {"script", "link", "iframe", "object"}
    inside = tuple(f"#{one}" for one in read.ids)
    assert all(one.startswith("data:image/png;base64,") or one in inside for one in read.loaded)
    assert "url(http" not in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page).lower().split()


@pytest.mark.parametrize("n", [0, 30, 2000])
def test_the_same_replay_gives_the_same_bytes(n: int, tmp_path: Path) -> None:
    for name in ("one", "other"):
        replayed = _replay(n)
        write_report(tmp_path / name, replayed, statistics(replayed), CONTEXT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_numbers_come_before_pictures_and_each_picture_says_what_it_shows() -> None:
    page = _page(300)
    order = ["Expectancy", "Equity and drawdown", "Results of trades", "Excursions", "By symbol"]
    places = [page.index(f">{name}") for name in order]
    assert places == sorted(places)
    assert page.count('role="img"') == 4
    assert all(len(alt) > 40 for alt in re.findall(r'role="img" aria-label="([^"]*)"', page))


def test_every_picture_is_well_formed() -> None:
    page = _page(300)
    pictures = re.findall(r'<svg aria-hidden="true".*?</svg>', page, flags=re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        assert ElementTree.fromstring(picture).get("viewBox")  # noqa: S314
        assert "currentColor" in picture


def test_winners_and_losers_differ_by_more_than_colour() -> None:
    page = _page(300)
    excursions = page[page.index("Excursions") : page.index("By hour of entry")]
    assert "winners (" in excursions
    assert "losers (" in excursions
    marks = re.findall(r'<path id="[^"]*" d="([^"]*)" style="stroke: var\(--(\w+)\)', excursions)
    # Circles are drawn in curves, crosses in straight lines.
    round_ones = {colour: "C " in outline for outline, colour in marks}
    assert round_ones["win"]
    assert not round_ones["loss"]


def test_without_trades_there_are_no_pictures_but_all_reasons() -> None:
    page = _page(0)
    assert "There is no trade." in page
    assert "Not one trade was closed." in page
    assert "<figure>" not in page
    assert "no model deployed" in page


def test_names_from_outside_are_text_and_nothing_else() -> None:
    hostile = '<script>alert("1")</script>$x_1$'
    context = ReportContext(
        title=hostile,
        manifest=hostile,
        manifest_digest=hostile,
        policy=hostile,
        models={hostile: hostile},
        not_traded={hostile: hostile},
        settings={hostile: {hostile: hostile}},
        warnings=(hostile,),
    )
    trades = made_trades([1.0, -1.0], symbol=[hostile] * 2, exit_rule=[hostile] * 2)
    replayed = made_replay(trades)
    page = render(replayed, statistics(replayed), context)
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") >= 8


def test_what_must_be_known_first_stands_above_the_numbers() -> None:
    context = ReportContext(
        title="Replay",
        manifest="m",
        manifest_digest="d",
        policy="defaults",
        simulated=True,
        chosen_by_hand=("XAUUSD",),
        holdout_openings={"XAUUSD": "opened once"},
        warnings=("Something else.",),
    )
    found = statistics(_replay(12))
    assert [one.split(":")[0] for one in warnings_of(found, context)] == [
        "The market is simulated",
        "Not deployed, but chosen by hand",
        "What is seen of a holdout no longer counts as unseen. XAUUSD",
        "Only 12 trades",
        "Something else.",
    ]
    page = render(_replay(12), found, context)
    assert page.index("Something else.") < page.index(">Expectancy")


def test_a_replay_with_enough_trades_and_nothing_odd_has_no_warning() -> None:
    assert warnings_of(statistics(_replay(30)), CONTEXT) == []
    assert 'class="warnings" ' not in _page(30)


def test_settings_are_written_as_people_read_them() -> None:
    page = _page(1)
    assert '<tr><th scope="row">spread_atr</th><td>0.05</td></tr>' in page
    assert '<tr><th scope="row">evaluator</th><td>off</td></tr>' in page


def test_dropped_entries_and_sources_of_decisions_are_counted() -> None:
    replayed = Replayed.empty()
    found = statistics(replayed)
    skipped = {"sideways": 1234, "open_risk": 0}
    shown = type(found)(
        **{name: getattr(found, name) for name in found.__slots__}
        | {"skipped": skipped, "decisions": {"exploring": 3, "defaults": 1}}
    )
    page = render(replayed, shown, CONTEXT)
    assert '<th scope="row">sideways</th><td>1,234</td>' in page
    assert "open_risk" not in page
    assert '<th scope="row">exploring</th><td>3</td><td>75.0%</td>' in page


@pytest.mark.parametrize(
    "step", [timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=4), timedelta(days=7)]
)
def test_equity_of_any_length_is_drawn(step: timedelta) -> None:
    for n in (1, 2, 500, 6000):
        levels = 100 + np.sin(np.arange(n)) + np.arange(n) / 100
        equity = made_equity(levels.tolist(), step=step)
        assert list(figures.draw(TRADES.to_frame(), equity, {})) == ["equity"]


@pytest.mark.parametrize("r_multiple", [0.0, -1.0, 1e6, -1e6])
def test_results_of_any_size_are_drawn(r_multiple: float) -> None:
    trades = made_trades([r_multiple] * 3, entry_time=[MONDAY] * 3, mae_r=-abs(r_multiple))
    replayed = made_replay(trades)
    assert "Results of trades" in render(replayed, statistics(replayed), CONTEXT)


def test_drawing_leaves_no_setting_behind() -> None:
    before = dict(matplotlib.rcParams)
    _page(30)
    assert dict(matplotlib.rcParams) == before
