"""What the measurements come to: shares of a gap, rates of runs, costs of a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.honesty.report import Rate
from benchmarks.sweeping.gap import Estimate, mean, ratio, share_closed

Found = Mapping[str, Any]
TPE, RANDOM = "tpe", "random"
S_PER_MIN = 60.0


@dataclass(frozen=True, slots=True)
class EdgeFigures:
    """What sweeps of one model were worth, over all markets.

    Attributes
    ----------
    model : str
    markets : int
        Symbols times seeds.
    no_skill, configured, default, attainable : float
        Mean log-loss on fresh rows, nats per row.
    tuned : dict of str to float
        The same of each sampler's best trial.
    share : dict of str to Estimate
        Of the gap between default and attainable that each sampler's best trial closes.
    adopted_share : dict of str to Estimate
        The same where only an adopted model takes the default's place, as in ``train_all tuned=``.
    adopted, looked : dict of str to int
        Markets where the best trial was adopted, and where it was compared on the later blocks.
    difference, times : Estimate
        Share of TPE less that of random search, and over it.
    promised, kept : dict of str to Estimate
        Gain in nats per row over the default: on the blocks that trials were compared by, and on
        fresh rows.
    """

    model: str
    markets: int
    no_skill: float
    configured: float
    default: float
    attainable: float
    tuned: dict[str, float]
    share: dict[str, Estimate]
    adopted_share: dict[str, Estimate]
    adopted: dict[str, int]
    looked: dict[str, int]
    difference: Estimate
    times: Estimate
    promised: dict[str, Estimate]
    kept: dict[str, Estimate]


def edge_figures(model: str, found: Sequence[Found]) -> EdgeFigures:
    """Pool the markets of one model; each must have been swept with both samplers."""
    default_K = [one["default"] for one in found]
    attainable_K = [one["attainable"] for one in found]
    gap_K = _less(default_K, attainable_K)
    by_sampler = {name: [one["samplers"][name] for one in found] for name in (TPE, RANDOM)}
    tuned = {name: [one["tuned"] for one in ones] for name, ones in by_sampler.items()}
    deployed = {
        name: [
            one["tuned"] if one["adopted"] else default
            for one, default in zip(ones, default_K, strict=True)
        ]
        for name, ones in by_sampler.items()
    }
    return EdgeFigures(
        model=model,
        markets=len(found),
        **{name: fmean(one[name] for one in found) for name in ("no_skill", "configured")},
        default=fmean(default_K),
        attainable=fmean(attainable_K),
        tuned={name: fmean(losses) for name, losses in tuned.items()},
        share={name: share_closed(default_K, one, attainable_K) for name, one in tuned.items()},
        adopted_share={
            name: share_closed(default_K, one, attainable_K) for name, one in deployed.items()
        },
        adopted={name: sum(one["adopted"] for one in ones) for name, ones in by_sampler.items()},
        looked={name: sum(one["looked"] for one in ones) for name, ones in by_sampler.items()},
        difference=ratio(_less(tuned[RANDOM], tuned[TPE]), gap_K),
        times=ratio(_less(default_K, tuned[TPE]), _less(default_K, tuned[RANDOM])),
        promised={name: mean(list(map(_promised, ones))) for name, ones in by_sampler.items()},
        kept={name: mean(_less(default_K, losses)) for name, losses in tuned.items()},
    )


@dataclass(frozen=True, slots=True)
class NoiseFigures:
    """What sweeps made of noise.

    Attributes
    ----------
    world : str
    with_sweep, without : Rate
        Runs that deployed anything.
    symbols_with, symbols_without : Rate
        Symbols that were deployed.
    looked : Rate
        Studies whose best trial was compared on the later blocks.
    adopted : Rate
        Of those, the ones that were adopted.
    placed : int
        Symbols where an adopted model took the council's place.
    differing : int
        Runs that deployed other symbols or models with the sweep than without.
    cpu_s : float
        Mean of a run's commands together.
    """

    world: str
    with_sweep: Rate
    without: Rate
    symbols_with: Rate
    symbols_without: Rate
    looked: Rate
    adopted: Rate
    placed: int
    differing: int
    cpu_s: float


def noise_figures(world: str, found: Sequence[Found]) -> NoiseFigures:
    """Count over the runs of a world, or of several."""
    runs = {name: [one[name] for one in found] for name in ("tuned", "untuned")}
    deployed = {
        name: [sum(model is not None for model in run.values()) for run in ones]
        for name, ones in runs.items()
    }
    symbols = sum(map(len, runs["tuned"]))
    studies, looked, adopted = (
        sum(one[name] for one in found) for name in ("studies", "looked", "adopted")
    )
    return NoiseFigures(
        world=world,
        with_sweep=Rate(sum(map(bool, deployed["tuned"])), len(found)),
        without=Rate(sum(map(bool, deployed["untuned"])), len(found)),
        symbols_with=Rate(sum(deployed["tuned"]), symbols),
        symbols_without=Rate(sum(deployed["untuned"]), symbols),
        looked=Rate(looked, studies),
        adopted=Rate(adopted, looked),
        placed=sum(len(one["placed"]) for one in found),
        differing=sum(one["tuned"] != one["untuned"] for one in found),
        cpu_s=fmean(sum(part["cpu_s"] for part in one["took"].values()) for one in found),
    )


@dataclass(frozen=True, slots=True)
class ThroughputFigures:
    """What a trial costs, in the command and bare.

    Attributes
    ----------
    trials : int
        Between the short sweep and the long one, both of the same symbols: what the command takes
        besides is left out.
    sweep_s, bare_s : float
        CPU seconds of one trial; bare, of its fits and the predictions of their blocks.
    scoring_s : float
        CPU seconds that the objective takes besides: the training rows are predicted too.
    fixed_s : float
        CPU seconds of the command besides trials: start, data, the default, comparisons, the end.
    """

    trials: int
    sweep_s: float
    bare_s: float
    scoring_s: float
    fixed_s: float

    @property
    def overhead(self) -> float:
        """What a trial costs in the command above its fits, as a share of these."""
        return self.sweep_s / self.bare_s - 1

    @property
    def overhead_scored(self) -> float:
        """The same above its fits and its objective, as a share of both."""
        return self.sweep_s / (self.bare_s + self.scoring_s) - 1

    @property
    def trials_per_min(self) -> tuple[float, float]:
        """Trials per CPU minute: in the command, and bare."""
        return S_PER_MIN / self.sweep_s, S_PER_MIN / self.bare_s


def throughput_figures(short: Found, long: Found) -> ThroughputFigures:
    """Compare two sweeps that differ in their number of trials alone, and their bare fits."""
    trials = long["trials"] - short["trials"]
    if trials < 1:
        raise ValueError(f"{short['trials']} and {long['trials']} trials tell nothing of one")
    sweep_s, bare_s, scoring_s = (
        (long[f"{part}_cpu_s"] - short[f"{part}_cpu_s"]) / trials
        for part in ("sweep", "bare", "scoring")
    )
    fixed_s = short["sweep_cpu_s"] - short["trials"] * sweep_s
    return ThroughputFigures(trials, sweep_s, bare_s, scoring_s, fixed_s)


def _less(first_K: Sequence[float], second_K: Sequence[float]) -> list[float]:
    return [first - second for first, second in zip(first_K, second_K, strict=True)]


def _promised(one: Found) -> float:
    compared = one["cross_validated"]
    return float(compared["default"]["log_loss"] - compared["tuned"]["log_loss"])
