"""How soon drift is found on a market that changes, how rarely on one that does not.

    python -m benchmarks.drift_detection MANIFEST [--seeds 10] [--bars 60000]

A manifest trained on the simulated market is held against later bars of the same market, drawn anew
for every seed: the model, its thresholds and its training rows are the manifest's, the bars are of
a seed it has never seen. The market stays, or changes after a third of the bars: its edge goes, is
reversed, or its volatility doubles. Signals are those with a known outcome; a symbol and seed is
looked at from its first settled signal on. In a market that stays, what comes after a false alarm
is looked at anew, so that alarms are counted over all its signals.

Axes: N signals, F features.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import chi2

from live.drift_baseline import accuracy_before, slope_before
from live.drift_expected import expected_events, random_walk_share
from live.feature_drift import Training, feature_drift
from live.outcome_drift import TestName, outcome_drift
from live.resolved import Resolved
from live.symbol_drift import FEATURES_SHARE, OUTCOME_SHARES, training_rows
from market.build import build_event_table
from market.event_table import UNDECIDED
from market.simulate import SimulatedMarket
from selection import DeployedModels
from selection.atomic import write_json_atomically

OUT: Final = Path("runs/bench/drift_detection.json")
EVERY: Final = 10_000.0
CONFIDENCE, WINDOW, LEAST_PSI = 0.9, 250, 0.2
TRAINED_SEED: Final = 7
CASES: Final[dict[str, dict[str, float]]] = {
    "stable": {},
    "edge gone": {"edge_after": 0.0},
    "edge reversed": {"edge_after": -0.15},
    "volatility doubled": {"volatility_after": 2.0},
}
TESTS: Final = ("accuracy", "log_loss", "features")
# Above those of the suites and of the trained markets.
FIRST_SEED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Watched:
    """One symbol and seed of one case.

    Attributes
    ----------
    case, symbol : str
    seed : int
    n_before, n_after : int
        Signals before and after the change; all are before in a market that stays.
    alarms : dict of str to list of int
        By test and for ``any``, signals up to each alarm; only in a market that stays more than
        one.
    expected : dict of str to float or None
        By test, signals that the command says it takes to find the edge gone.
    """

    case: str
    symbol: str
    seed: int
    n_before: int
    n_after: int
    alarms: dict[str, list[int]]
    expected: dict[TestName, float | None]


@dataclass(frozen=True, slots=True)
class Given:
    """What one process works on."""

    manifest: Path
    symbol: str
    seeds: tuple[int, ...]
    n_bars: int
    trained_bars: int
    edge: float


def watch(given: Given) -> list[Watched]:
    """Watch one symbol over all seeds and cases."""
    deployed = DeployedModels.from_manifest(given.manifest)
    symbol, definition = given.symbol, deployed.definition(given.symbol)
    slope = slope_before(deployed, symbol, confidence=CONFIDENCE)
    accuracy = accuracy_before(symbol, deployed.selection(symbol), confidence=CONFIDENCE)
    trained = SimulatedMarket(n_bars=given.trained_bars, edge=given.edge)
    training_NF = training_rows(deployed, symbol, trained.bars(symbol, TRAINED_SEED))
    if isinstance(training_NF, str):
        raise TypeError(f"{symbol}: {training_NF}; give --trained-bars")
    labels = definition.labels
    names = tuple(deployed.selection(symbol)["features"]["names"])
    training = Training(training_NF, names, window=WINDOW)
    chance = random_walk_share(profit_atr=labels.profit_atr, stop_atr=labels.stop_atr)

    every: dict[TestName, float] = {name: EVERY / share for name, share in OUTCOME_SHARES.items()}
    needed = expected_events(accuracy, slope, false_alarm_every=every, chance=chance)

    def alarms(later: Resolved) -> dict[str, int | None]:
        outcome = outcome_drift(later, accuracy, slope, false_alarm_every=every)
        found: dict[str, int | None] = dict.fromkeys(TESTS)
        for test in outcome.tests:
            if test.detected.alarm is not None:
                found[test.name] = int(outcome.position_N[test.detected.alarm]) + 1
        features = feature_drift(
            training,
            later.x_NF,
            false_alarm_every=EVERY / FEATURES_SHARE,
            least_psi=LEAST_PSI,
        )
        if features is not None and features.moved:
            found["features"] = features.last + 1
        known = [one for one in found.values() if one is not None]
        return {**found, "any": min(known, default=None)}

    watched = []
    for case, change in CASES.items():
        for seed in given.seeds:
            later, n_before = _later(deployed, given, seed, change)
            first = alarms(later)
            found = {name: [] if at is None else [at] for name, at in first.items()}
            if not change:
                for name in found:
                    found[name] = list(_again(later, alarms, name, first[name]))
            n_after = len(later) - n_before
            watched.append(Watched(case, symbol, seed, n_before, n_after, found, needed))
    return watched


def _again(later: Resolved, alarms: Any, name: str, first: int | None) -> Iterator[int]:
    """Yield where alarms were raised, each counted from the beginning, looking on after each."""
    passed, at = 0, first
    while at is not None:
        passed += at
        yield passed
        at = alarms(_rows(later, slice(passed, None)))[name]


def _later(
    deployed: DeployedModels, given: Given, seed: int, change: dict[str, Any]
) -> tuple[Resolved, int]:
    """Return the signals of a market of another seed, and how many come before it changes."""
    at = given.n_bars // 3
    market = SimulatedMarket(
        n_bars=given.n_bars, edge=given.edge, changes_at=at if change else None, **change
    )
    bars, symbol = market.bars(given.symbol, seed), given.symbol
    definition, threshold = deployed.definition(symbol), deployed.threshold(symbol)
    found = definition.decisions(bars)
    table = build_event_table(
        bars, features=definition.features, events=definition.events, labels=definition.labels
    )
    whole = bars.close_time_T[-definition.labels.max_bars - 1]
    kept_N = found.settled_N & (table.label_N != UNDECIDED) & (found.t0_N <= whole)
    first = int(np.argmax(found.settled_N)) + deployed.lookback_rows(symbol)
    kept_N[:first] = False
    p_N = deployed.model_proba(symbol, found.x_NF, allow_cold_start=True)[:, 1][kept_N]
    later = Resolved(
        symbol=symbol,
        model=deployed.selection(symbol)["selected_model"],
        since=found.t0_N[kept_N][0],
        t0_N=found.t0_N[kept_N],
        t1_N=table.t1_N[kept_N],
        direction_N=found.direction_N[kept_N],
        y_N=table.label_N[kept_N].astype(np.int64),
        x_NF=found.x_NF[kept_N],
        weight_N=table.weight_N[kept_N],
        p_N=p_N,
        p_live_N=p_N,
        threshold=threshold,
        taken_N=p_N >= threshold,
        names_F=tuple(table.names_F),
        complete_until=whole,
        n_open=0,
    )
    if not change:
        return later, len(later)
    return later, int(np.searchsorted(later.t0_N, bars.close_time_T[at - 1], side="right"))


def _rows(later: Resolved, kept: slice) -> Resolved:
    arrays = ("t0_N", "t1_N", "direction_N", "y_N", "x_NF", "weight_N", "p_N", "p_live_N")
    values = {name: getattr(later, name) for name in Resolved.__dataclass_fields__}
    cut = {name: values[name][kept] for name in (*arrays, "taken_N")}
    return Resolved(**{**values, **cut})


def false_alarms(watched: list[Watched], test: str) -> dict[str, float]:
    """Return alarms per 1,000 signals of a market that stays, with a 95% interval (Garwood)."""
    stable = [one for one in watched if one.case == "stable"]
    n = sum(len(one.alarms[test]) for one in stable)
    thousands = sum(one.n_before for one in stable) / 1000
    low = chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    high = chi2.ppf(0.975, 2 * n + 2) / 2
    ever = sum(bool(one.alarms[test]) for one in stable)
    return {
        "alarms": n,
        "signals": 1000 * thousands,
        "per_1000": n / thousands,
        "low": float(low) / thousands,
        "high": float(high) / thousands,
        "symbols_and_seeds": len(stable),
        "with_any": ever,
    }


def delays(watched: list[Watched], case: str, test: str) -> dict[str, float | None]:
    """Return signals from the change to the alarm; those that alarmed before are counted apart.

    A change that was not found counts as one that took longer than all signals after it.
    """
    early, late = 0, []
    for one in (each for each in watched if each.case == case):
        at = one.alarms[test]
        if at and at[0] <= one.n_before:
            early += 1
        else:
            late.append(float(at[0] - one.n_before) if at else np.inf)
    delay_M = np.array(late)
    boot = np.random.default_rng(0).choice(delay_M, (2000, len(delay_M))) if late else delay_M

    def quantile(q: float) -> float | None:
        value = float(np.quantile(delay_M, q, method="inverted_cdf"))
        return value if np.isfinite(value) else None

    if not late:
        return {"changes": 0, "early": early}
    spread = np.quantile(boot, 0.5, axis=1, method="inverted_cdf")
    low, high = np.quantile(spread, (0.025, 0.975), method="inverted_cdf")
    return {
        "changes": len(late),
        "early": early,
        "found": int(np.isfinite(delay_M).sum()),
        "signals_after": float(np.median([o.n_after for o in watched if o.case == case])),
        "median": quantile(0.5),
        "median_low": float(low) if np.isfinite(low) else None,
        "median_high": float(high) if np.isfinite(high) else None,
        "p90": quantile(0.9),
    }


def main() -> None:
    """Watch, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--trained-bars", type=int, default=20_000)
    parser.add_argument("--edge", type=float, default=0.15)
    parser.add_argument("--bars", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    told = parser.parse_args()
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + told.seeds))
    symbols = DeployedModels.from_manifest(told.manifest).symbols
    given = [
        Given(told.manifest, one, seeds, told.bars, told.trained_bars, told.edge) for one in symbols
    ]
    with ProcessPoolExecutor(told.workers) as pool:
        watched = [one for many in pool.map(watch, given) for one in many]
    document = summary(watched)
    document["given"] = {**vars(told), "symbols": symbols, "expected_false_alarm_every": EVERY}
    document["watched"] = [asdict(one) for one in watched]
    write_json_atomically(told.out, document)
    show(document)


def summary(watched: list[Watched]) -> dict[str, Any]:
    """Return false alarms and delays by test, and expected against measured by symbol."""
    names = (*TESTS, "any")
    changed = [case for case in CASES if case != "stable"]
    by_symbol = {}
    for symbol in dict.fromkeys(one.symbol for one in watched):
        of_symbol = [one for one in watched if one.symbol == symbol]
        by_symbol[symbol] = {
            name: {
                "expected": of_symbol[0].expected[name],
                "median": delays(of_symbol, "edge gone", name).get("median"),
            }
            for name in OUTCOME_SHARES
        }
    return {
        "false_alarms": {name: false_alarms(watched, name) for name in names},
        "delays": {case: {name: delays(watched, case, name) for name in names} for case in changed},
        "by_symbol": by_symbol,
        "first_by": {
            case: Counter(
                next(name for name in TESTS if one.alarms[name] == one.alarms["any"])
                for one in watched
                if one.case == case and one.alarms["any"]
            )
            for case in changed
        },
    }


def show(document: dict[str, Any]) -> None:
    """Print what a run of the benchmark came to."""
    console = Console()
    table = Table(title="false alarms of a market that stays")
    for heading in ("test", "alarms", "signals", "per 1,000", "95% interval", "ever"):
        table.add_column(heading, justify="right")
    for name, one in document["false_alarms"].items():
        interval = f"{one['low']:.3f}-{one['high']:.3f}"
        ever = f"{one['with_any']}/{one['symbols_and_seeds']}"
        numbers = (f"{one['alarms']}", f"{one['signals']:,.0f}", f"{one['per_1000']:.3f}")
        table.add_row(name, *numbers, interval, ever)
    console.print(table)
    table = Table(title="signals from the change to the alarm")
    for heading in ("case", "test", "found", "early", "median", "95% interval", "90% within"):
        table.add_column(heading, justify="right")
    for case, tests in document["delays"].items():
        for name, one in tests.items():
            cells = [_number(one.get(key)) for key in ("median", "p90")]
            interval = f"{_number(one.get('median_low'))}-{_number(one.get('median_high'))}"
            found = f"{one.get('found', 0)}/{one['changes']}"
            table.add_row(case, name, found, f"{one['early']}", cells[0], interval, cells[1])
    console.print(table)
    console.print(f"expected and median by symbol: {json.dumps(document['by_symbol'])}")


def _number(value: float | None) -> str:
    return "not found" if value is None else f"{value:,.0f}"


if __name__ == "__main__":
    main()
