"""Every symbol's entries, or the sentence why it has none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from backtest.entries import (
    DEPLOYED,
    NOT_DEPLOYED,
    Entries,
    begins,
    deployed_entries,
    event_entries,
    predicted_entries,
)
from backtest.markets import Market
from backtest.research import folder_of, researched
from market.bars import Bars, DataError
from pipelines import live_inputs
from pipelines.backtest_settings import EVENTS, SELECTED, BacktestSettings
from pipelines.command import ConfigError, nearest
from pipelines.later_bars import why_not_later
from pipelines.live_inputs import ReadBars
from pipelines.run_digest import RUNS
from selection import DeployedModels
from selection.deployed_files import DeploymentError

Find = Callable[[str, Bars], Entries]


@dataclass(slots=True)
class Found:
    """What became of the symbols.

    Attributes
    ----------
    entries : dict of str to Entries
        By symbol; only these are replayed.
    untraded : dict of str to str
        Why a symbol is left out that could have been replayed: nothing is deployed.
    failed : dict of str to str
        One sentence for each of the others.
    not_later : dict of str to str
        Why a symbol is left out that has no bar later than what exits have learnt from.
    digests : dict of str to str
        What identifies the bars of each symbol that was read.
    by_hand : list of str
        Symbols that are replayed with a model that is not deployed.
    warnings : list of str
        What is odd about bars, or why there is nothing to trade.
    """

    entries: dict[str, Entries] = field(default_factory=dict)
    untraded: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    not_later: dict[str, str] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_entries(settings: BacktestSettings, deployed: DeployedModels) -> Found:
    """Find the entries of one symbol after the other; one that fails is named and passed over."""
    done = Found()
    find = _finder(settings, deployed)
    for symbol in _symbols(settings, deployed):
        selection = deployed.selection(symbol)
        if settings.entries.model == SELECTED and selection["selected_model"] is None:
            done.untraded[symbol] = str(selection["reason"])
            continue
        try:
            bars, done.digests[symbol], odd = bars_of(settings, symbol)
            if odd:
                done.warnings.append(f"{symbol}: {odd}")
            if why := why_not_later(settings, symbol, selection, bars):
                done.not_later[symbol] = why
                continue
            found = find(symbol, bars)
            remarks = list(_remarks(settings, selection, found.market))
        except (DataError, DeploymentError) as error:
            done.failed[symbol] = str(error)
            continue
        tick_size = _tick_size(settings, found.market)
        done.entries[symbol] = replace(found, market=replace(found.market, tick_size=tick_size))
        if settings.entries.model not in (SELECTED, EVENTS, selection["selected_model"]):
            done.by_hand.append(symbol)
        done.warnings += remarks
    return done


def _remarks(
    settings: BacktestSettings, selection: Mapping[str, Any], market: Market
) -> Iterator[str]:
    """Yield why a symbol is not traded, or not where models are."""
    symbol, first = market.symbol, begins(market.symbol, selection)
    if not market.signal_T.any():
        start = settings.period.start
        since = "" if start is None else f"from {_day(start)} "
        last = _day(market.bars.close_time_T[-1])
        known = "" if first is None else f"; predictions begin on {_day(first)}"
        yield f"{symbol}: no trade, as no decision {since}up to {last} is judged{known}"
    elif not (market.confidence_T >= market.threshold).any():
        yield f"{symbol}: no trade, as no probability reaches the threshold, {market.threshold:g}"
    if settings.entries.model == EVENTS and first is None and settings.period.start is None:
        yield (
            f"{symbol}: its events begin with its bars, as the manifest does not say when "
            "predictions do; give replay.start, the same for events and models, to compare them"
        )


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def _tick_size(settings: BacktestSettings, market: Market) -> float | None:
    """Return a symbol's tick, if one is given; refuse what no price of its bars could move by."""
    size = settings.exits.tick_size.get(market.symbol)
    low, high = float(market.bars.low_T.min()), float(market.bars.high_T.max())
    if size is not None and not np.spacing(high) <= size < low:
        raise ConfigError(
            f"exits.tick_size.{market.symbol}: {size:g} is no tick of prices from {low:g} to "
            f"{high:g}; give the smallest step between two prices"
        )
    return size


def _finder(settings: BacktestSettings, deployed: DeployedModels) -> Find:
    """Return what finds the entries of a symbol in its bars."""
    model, period = settings.entries.model, settings.period
    if model == SELECTED:
        return lambda symbol, bars: deployed_entries(deployed, symbol, bars, period)
    if model == EVENTS:
        return lambda symbol, bars: event_entries(deployed, symbol, bars, period)
    provenance = deployed.manifest.get("provenance", {})
    run = _run(settings, provenance.get("execution"))
    trained = {path.stem.rpartition("_")[2] for path in (run / "results").glob("*_*.json")}
    if trained and model not in trained:
        known = [SELECTED, EVENTS, *sorted(trained)]
        raise ConfigError(f"entries.model: {model} was not trained in {run}{nearest(model, known)}")

    def find(symbol: str, bars: Bars) -> Entries:
        known, threshold = researched(run, symbol, model, conf_digest=provenance.get("conf_digest"))
        deploys = deployed.selection(symbol)["selected_model"] == model
        return predicted_entries(
            deployed,
            symbol,
            bars,
            period,
            known=known,
            model=f"{model} ({DEPLOYED if deploys else NOT_DEPLOYED})",
            threshold=threshold,
        )

    return find


def _run(settings: BacktestSettings, execution: str | None) -> Path:
    run = settings.entries.run or folder_of(RUNS, execution)
    if run is None:
        raise ConfigError(
            f"entries.run: no run in {RUNS} has made {settings.manifest}; give its folder"
        )
    if not (run / "results").is_dir():
        raise ConfigError(f"entries.run: {run} is no folder of a run of train_all")
    return run


def _symbols(settings: BacktestSettings, deployed: DeployedModels) -> list[str]:
    known = list(deployed.manifest["selections"])
    for key, named in (
        ("symbols: ", settings.symbols or []),
        ("exits.tick_size.", list(settings.exits.tick_size)),
    ):
        for symbol in named:
            if symbol not in known:
                raise ConfigError(f"{key}{symbol} is not in the manifest{nearest(symbol, known)}")
    return list(dict.fromkeys(settings.symbols or known))


def bars_of(settings: BacktestSettings, symbol: str) -> ReadBars:
    """Return a symbol's bars as they are replayed; raises DataError."""
    return live_inputs.bars_of(settings.source, symbol, settings.seed)
