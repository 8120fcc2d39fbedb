"""How often a challenger takes the place, and what that is worth on bars later still.

``python -m benchmarks.challengers`` trains champions on simulated markets, lets the market become
another one, has every symbol trained again some time later whether or not it drifted, and judges;
some 20 minutes on two cores. The bars after the judgement, which nothing has read, then tell what
champion, challenger and the one that is live by the rule lose there. Councils alone: they are what
is deployed on this market nearly always.

Axes: N events.
"""

import argparse
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from live.resolved import resolved
from market.bars import Bars, FloatArray
from market.simulate import SYMBOLS, SimulatedMarket
from selection import DeployedModels
from selection.atomic import write_json_atomically
from selection.challenger_state import challenger_manifest, read_state
from selection.challenges import Challenges
from selection.metrics import log_losses

OUTPUT = Path("runs/bench/challengers.json")
FIRST_SEED, EDGE = 21, 0.15
TRAINED, CHANGES_AT, CUT = 20_000, 20_000, 30_000
UNTIL = "2014-10-19"  # after 30,000 bars
JUDGED_AT, LAST = 34_000, 60_000
FROM_THE_BREAK = "learn_from=2013-03-15"  # the day after bar 20,000
# The edge from the change on, the volatility in times what it was, and what retrain is told.
WORLDS: Mapping[str, tuple[float, float, tuple[str, ...]]] = {
    "stays": (EDGE, 1.0, ()),
    "edge gone": (0.0, 1.0, ()),
    "edge reversed": (-EDGE, 1.0, ()),
    "edge reversed, learnt from the break on": (-EDGE, 1.0, (FROM_THE_BREAK,)),
    "edge doubled": (2 * EDGE, 1.0, ()),
    "edge trebled": (3 * EDGE, 1.0, ()),
    "volatility doubled": (EDGE, 2.0, ()),
}
COUNCIL_ALONE = (
    *("~models.random_forest", "~models.xgboost", "~models.mlp", "~models.lstm"),
    *("tracking=none", "data.cache=null"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One symbol of one market.

    Attributes
    ----------
    world, symbol : str
    seed : int
    status : str
        Of the challenger.
    found : bool
        Whether its training selected a model.
    p_evidence, p_advantage : float or None
        Where it was judged.
    events : int
        Later still, of both models.
    champion, challenger, base : float or None
        Log-loss there: of the models, and of the share of wins.
    """

    world: str
    symbol: str
    seed: int
    status: str
    found: bool
    p_evidence: float | None
    p_advantage: float | None
    events: int
    champion: float
    challenger: float | None
    base: float


def cases(
    worlds: Sequence[str], seeds: Sequence[int], symbols: Sequence[str], folder: Path
) -> Iterator[Case]:
    """Yield what came of every symbol of every market that has a champion."""
    for seed in seeds:
        begin = ("data=demo", f"data.n_bars={TRAINED}", f"symbols=[{','.join(symbols)}]")
        _ran("train_all", folder / f"{seed}", seed, *begin)
        for world in worlds:
            place = folder / f"{seed}-{list(WORLDS).index(world)}"
            shutil.copytree(folder / f"{seed}" / "deploy", place / "deploy")
            edge_after, volatility, told = WORLDS[world]
            data = (
                *("data=changing", f"data.changes_at={CHANGES_AT}"),
                *(f"data.edge_after={edge_after}", f"data.volatility_after={volatility}"),
            )
            live = place / "deploy" / "manifest.json"
            before = DeployedModels.from_manifest(folder / f"{seed}" / "deploy" / "manifest.json")
            called = f"symbols=[{','.join(before.symbols)}]"
            judged = f"data.n_bars={JUDGED_AT}"
            _ran("retrain", place, seed, *data, judged, called, f"until={UNTIL}", *told)
            market = SimulatedMarket(
                n_bars=LAST,
                edge=EDGE,
                changes_at=CHANGES_AT,
                edge_after=edge_after,
                volatility_after=volatility,
            )
            for symbol in before.symbols:
                yield _case(world, seed, before, live, market.bars(symbol, seed))


def _case(world: str, seed: int, before: DeployedModels, live: Path, bars: Bars) -> Case:
    symbol = bars.symbol
    state = read_state(live, symbol)
    if state is None:
        raise RuntimeError(f"{symbol}: no challenger was asked for")
    at = bars.close_time_T[JUDGED_AT - 1]
    champion_N, y_N, base = _losses(before, symbol, bars, at)
    found = state.model is not None
    challenger_N = None
    if found:
        opened = DeployedModels.from_manifest(challenger_manifest(live, state))
        challenger_N, _, _ = _losses(opened, symbol, bars, at)
    verdict = Challenges(live).of(symbol, str(state.manifest_sha256)) if found else None
    return Case(
        world=world,
        symbol=symbol,
        seed=seed,
        status=state.status,
        found=found,
        p_evidence=verdict.p_evidence if verdict else None,
        p_advantage=verdict.p_advantage if verdict else None,
        events=len(y_N),
        champion=float(champion_N.mean()),
        challenger=None if challenger_N is None else float(challenger_N.mean()),
        base=base,
    )


def _losses(
    deployed: DeployedModels, symbol: str, bars: Bars, after: np.datetime64
) -> tuple[FloatArray, FloatArray, float]:
    """Return a model's log-loss of events later still, their outcomes, and what no skill loses."""
    later = resolved(deployed, symbol, bars)
    kept_N = (later.t0_N > after) & (later.t0_N <= later.complete_until)
    y_N = later.y_N[kept_N]
    none_N = log_losses(y_N, np.full(len(y_N), y_N.mean()))
    return log_losses(y_N, later.p_N[kept_N]), y_N.astype(float), float(none_N.mean())


def _ran(command: str, place: Path, seed: int, *overrides: str) -> None:
    given = (f"manifest.path={place}/deploy/manifest.json", f"output_dir={place}/runs")
    done = subprocess.run(  # noqa: S603 - this project's own commands
        [
            *(sys.executable, "-m", f"pipelines.{command}", *given, f"seed={seed}"),
            *(*COUNCIL_ALONE, *overrides),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{command}: {done.stderr or done.stdout[-2000:]}")


def show(found: Sequence[Case]) -> None:
    """Print a line for every world."""
    by_world = defaultdict(list)
    for one in found:
        by_world[one.world].append(one)
    table = Table(title="After the market became another one, thousandths of a nat, later still")
    for heading in ("market", "symbols", "found", "judged better", "champion", "live by the rule"):
        table.add_column(heading, justify="left" if heading == "market" else "right")
    for world, ones in by_world.items():
        won = [one for one in ones if one.status == "adopted"]
        kept = [one.champion - one.base for one in ones]
        by_rule = [
            (one.challenger if one.status == "adopted" and one.challenger else one.champion)
            - one.base
            for one in ones
        ]
        table.add_row(
            world,
            f"{len(ones)}",
            f"{sum(one.found for one in ones)}",
            f"{len(won)}",
            _with_error(kept),
            _with_error(by_rule),
        )
    Console().print(table)


def _with_error(losses: Sequence[float]) -> str:
    """Return the mean loss beyond no skill, with its standard error over symbols and seeds."""
    thousandths_N = 1000 * np.array(losses)
    error = thousandths_N.std(ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else np.nan
    return f"{thousandths_N.mean():+.1f} ({error:.1f})"


def main() -> None:
    """Make the table and keep every case."""
    arguments = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--worlds", nargs="*", choices=list(WORLDS), default=list(WORLDS))
    arguments.add_argument("--symbols", nargs="*", choices=list(SYMBOLS), default=list(SYMBOLS))
    arguments.add_argument("--output", type=Path, default=OUTPUT)
    given = arguments.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    found: list[Case] = []
    with TemporaryDirectory() as folder:
        for one in cases(given.worlds, seeds, given.symbols, Path(folder)):
            found.append(one)
            # Kept as it comes: what was cut off is not lost.
            write_json_atomically(given.output, [asdict(case) for case in found])
    show(found)


if __name__ == "__main__":
    main()
