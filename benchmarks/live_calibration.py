"""What calibrating on later outcomes adopts, and what that is worth on outcomes later still.

    python -m benchmarks.live_calibration manifest=FILE

Made-up models tell how often a map is adopted that cannot help, and what is made of one that is
wrong; models of the simulated market tell what it comes to where nobody knows.

Axes: N events.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_outcomes import first, made_outcomes
from live.calibrating import ALPHA, Judgement, judged
from live.resolved import Resolved, resolved
from market.bars import FloatArray
from market.simulate import SimulatedMarket
from models.calibration import Calibration
from selection import DeployedModels
from selection.atomic import write_json_atomically
from selection.evidence import paired_gain
from selection.metrics import log_losses, log_odds, wilson
from selection.overlap import Overlaps

RESULT = Path("runs/bench/live_calibration.json")
SEED = 7
REPETITIONS = 300
SIZES = (50, 100, 200, 500, 1000)
MARKET: dict[str, Any] = {"n_bars": 100_000, "edge": 0.15}
CUTS = (24_000, 30_000, 40_000, 60_000, 80_000)
# Soon after the holdout of a manifest of 20,000 bars.
CHANGES_AT, CUTS_AFTER = 20_800, (25_000, 30_000, 40_000)
LATER_EVENTS = 1000
N_LATER = 5000
# Overconfident: what is said to win 3 in 4 wins 3 in 5, and all of it somewhat less often.
WRONG = {"slope": 0.4, "intercept": -0.25}
PLAINLY = {"slope": 0.4, "intercept": -0.9}
POOL = 8


def main() -> None:
    """Measure, print, write."""
    given = dict(one.split("=", 1) for one in sys.argv[1:])
    found: dict[str, Any] = {
        "alpha": ALPHA,
        "repetitions": REPETITIONS,
        "calibrated": [_single(n, {}) for n in SIZES],
        "calibrated, neighbours correlated": [_single(n, {"shared": 0.3}) for n in SIZES],
        "miscalibrated": [_single(n, WRONG) for n in SIZES],
        "plainly wrong": [_single(n, PLAINLY) for n in SIZES],
        "pooled": [_pooled(n, {}) for n in (10, 20, 40)],
        "pooled, symbols move together": [_pooled(n, {}, together=True) for n in (10, 20, 40)],
        "pooled, plainly wrong": [_pooled(n, PLAINLY) for n in (10, 20, 40)],
        "looked at twelve times": _looks(),
    }
    if "manifest" in given:
        manifest = Path(given["manifest"])
        found["simulated market"] = list(_market(manifest, SimulatedMarket(**MARKET), CUTS))
        without = SimulatedMarket(**MARKET, changes_at=CHANGES_AT, edge_after=0.0)
        found["its edge gone"] = list(_market(manifest, without, CUTS_AFTER))
    write_json_atomically(RESULT, found)
    sys.stdout.write(f"{json.dumps(found, indent=1)}\n")


def _single(n_events: int, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Judge one symbol many times; say how often a map is adopted, and what it gains later."""
    rng = np.random.default_rng([SEED, n_events])
    adopted, gains = 0, []
    for _ in range(REPETITIONS):
        (one,) = judged([made_outcomes("A", n_events, rng, **truth)], {"A": None})
        adopted += one.adopted is not None
        gains.append(_made_gain(one, truth, rng))
    return {"outcomes": n_events, **_share(adopted), **_mean(gains)}


def _pooled(n_events: int, truth: Mapping[str, Any], *, together: bool = False) -> dict[str, Any]:
    """Judge eight symbols with few outcomes each."""
    rng = np.random.default_rng([SEED, n_events, POOL])
    names = [f"S{k}" for k in range(POOL)]
    adopted, gains = 0, []
    for _ in range(REPETITIONS):
        common_N = rng.normal(size=n_events) if together else None
        outcomes = [made_outcomes(one, n_events, rng, common_N=common_N, **truth) for one in names]
        (one,) = judged(outcomes, dict.fromkeys(names))
        adopted += one.adopted is not None
        gains.append(_made_gain(one, truth, rng))
    return {"outcomes of each": n_events, **_share(adopted), **_mean(gains)}


def _looks() -> dict[str, Any]:
    """Judge an exactly calibrated model anew with every 50 outcomes; say how often a map is put."""
    rng = np.random.default_rng([SEED, 12])
    ever, sizes = 0, range(50, 601, 50)
    for _ in range(REPETITIONS):
        outcomes = made_outcomes("A", sizes[-1], rng)
        looks = (judged([first(outcomes, n)], {"A": None})[0] for n in sizes)
        ever += any(one.adopted is not None for one in looks)
    return {"looks": len(sizes), **_share(ever)}


def _made_gain(
    one: Judgement, truth: Mapping[str, Any], rng: np.random.Generator
) -> tuple[float, float]:
    """Return by how much an adopted map lowers the expected log-loss later, and the most it could.

    Nats per row, 0 where none is adopted.
    """
    said_N = made_outcomes("A", N_LATER, rng).p_N
    x_N = log_odds(said_N)
    true_N = Calibration.platt(truth.get("slope", 1.0), truth.get("intercept", 0.0))(x_N)

    def expected(p_N: FloatArray) -> float:
        ones_N = np.ones(len(p_N), dtype=np.int64)
        return float(
            np.mean(true_N * log_losses(ones_N, p_N) + (1 - true_N) * log_losses(0 * ones_N, p_N))
        )

    most = expected(said_N) - expected(true_N)
    if one.calibration is None:
        return 0.0, most
    return expected(said_N) - expected(one.calibration(x_N)), most


def _market(
    manifest: Path, market: SimulatedMarket, cuts: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield for each moment what would have been adopted, and its gain on the events after it."""
    deployed = DeployedModels.from_manifest(manifest)
    bars = {symbol: market.bars(symbol, SEED) for symbol in deployed.symbols}
    known = {symbol: resolved(deployed, symbol, bars[symbol]) for symbol in bars}
    for cut in cuts:
        outcomes = [resolved(deployed, symbol, bars[symbol].until(cut)) for symbol in bars]
        found = judged(outcomes, dict.fromkeys(bars))
        gains = {
            symbol: _later_gain(one, known[symbol], bars[symbol].close_time_T[cut - 1])
            for one in found
            if one.adopted is not None
            for symbol in one.symbols
        }
        yield {
            "bars": cut,
            "outcomes": sum(one.n_outcomes for one in found),
            "symbols": len(bars),
            "adopted": {
                symbol: one.adopted.kind
                for one in found
                if one.adopted is not None
                for symbol in one.symbols
            },
            "stated gain": [one.adopted.gain for one in found if one.adopted is not None],
            "later gain": {symbol: gain for symbol, (gain, _) in gains.items()},
            "later standard error": {symbol: error for symbol, (_, error) in gains.items()},
            **_total(gains, len(bars)),
        }


def _later_gain(one: Judgement, known: Resolved, since: np.datetime64) -> tuple[float, float]:
    """Return the gain on the next events, nats per row, and its standard error."""
    later = np.flatnonzero(known.t0_N >= since)[:LATER_EVENTS]
    if one.calibration is None:
        raise ValueError("nothing was adopted")
    p_N = one.calibration(log_odds(known.p_N[later]))
    overlaps = Overlaps(known.t0_N[later], known.t1_N[later])
    return paired_gain(known.y_N[later], p_N, known.p_N[later], overlaps)


def _total(gains: Mapping[str, tuple[float, float]], n_symbols: int) -> dict[str, Any]:
    """Return the mean over all symbols, 0 where nothing was adopted, and its interval at 95%.

    Symbols of the simulated market are independent.
    """
    mean = sum(gain for gain, _ in gains.values()) / n_symbols
    half = 1.96 * float(np.sqrt(sum(error**2 for _, error in gains.values()))) / n_symbols
    return {"mean later gain": mean, "interval": [mean - half, mean + half]}


def _share(n: int) -> dict[str, Any]:
    """Return a share of the repetitions with its Wilson interval at 95%."""
    return {"adopted": n / REPETITIONS, "interval": wilson(n / REPETITIONS, REPETITIONS, 1.96)}


def _mean(gains: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the mean gain later, thousandths of a nat, its interval, and the most possible."""
    gain_R, most_R = (1000 * np.array(one) for one in zip(*gains, strict=True))
    half = 1.96 * float(gain_R.std(ddof=1)) / np.sqrt(len(gain_R))
    mean = float(gain_R.mean())
    return {
        "later gain": mean,
        "gain interval": [mean - half, mean + half],
        "most": float(most_R.mean()),
    }


if __name__ == "__main__":
    main()
