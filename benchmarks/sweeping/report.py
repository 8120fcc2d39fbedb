"""The page: what was measured in words and tables, and the same figures as JSON."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.honesty.grids import MOST_FALSE_DEPLOYS
from benchmarks.honesty.report import Rate
from benchmarks.sweeping.figures import (
    RANDOM,
    TPE,
    EdgeFigures,
    NoiseFigures,
    ThroughputFigures,
    edge_figures,
    noise_figures,
    throughput_figures,
)
from benchmarks.sweeping.gap import Estimate, share_closed
from benchmarks.sweeping.records import Found, Group

TOGETHER = "all"
MOST_OVERHEAD = 0.15
MILLI = 1000.0
SAMPLER_NAMES = {TPE: "TPE", RANDOM: "random search"}
# What short and long sweeps are called in keys of records.
SHORT, LONG = "short", "long"


def edge_page(group: Group) -> tuple[str, dict[str, Any]]:
    """Return the part on the market with an edge, and its figures."""
    asked, parts, figures = group.asked, [], {}
    for model in dict.fromkeys(str(key[2]) for key in group.found):
        found = [one for key, one in sorted(group.found.items()) if key[2] == model]
        own = edge_figures(model, found)
        figures[model] = asdict(own)
        parts += [edge_words(own, asked), _table(_EDGE_HEADINGS, _edge_rows(found, own))]
    return "\n".join(["## Where there is an edge\n", *parts]), {"asked": asked, "models": figures}


def edge_words(one: EdgeFigures, asked: Mapping[str, Any]) -> str:
    """Say what the figures on an edge come to."""
    gap = MILLI * (one.default - one.attainable)
    lines = [
        f"{one.model}, {one.markets} simulated markets of {asked['n_bars']} bars with edge "
        f"{asked['edge']:g}, {asked['n_trials']} trials a study. On fresh rows the default leaves "
        f"{gap:.1f} millinats a row to the attainable log-loss "
        f"({one.default:.4f} to {one.attainable:.4f}; no skill {one.no_skill:.4f})."
    ]
    for name, words in SAMPLER_NAMES.items():
        lines.append(
            f"The best trial of {words} closes {_percent(one.share[name])} of that; with adoption "
            f"as the sweep decides it ({one.looked[name]} of {one.markets} looked at, "
            f"{one.adopted[name]} adopted), {_percent(one.adopted_share[name])}. Against the "
            f"default it gains {_millinats(one.promised[name])} millinats on the blocks that "
            f"trials were compared by, and {_millinats(one.kept[name])} on fresh rows."
        )
    lines.append(
        f"TPE less random search: {_percent(one.difference, points=True)}; their ratio: "
        f"{_number(one.times)}{_doubt(one)}. In brackets: 95% intervals over markets."
    )
    return "\n".join(f"- {line}" for line in lines) + "\n"


def noise_page(group: Group) -> tuple[str, dict[str, Any]]:
    """Return the part on noise, and its figures."""
    worlds = sorted({str(key[0]) for key in group.found})
    rows = [
        noise_figures(world, [one for key, one in group.found.items() if key[0] == world])
        for world in worlds
    ]
    together = noise_figures(TOGETHER, list(group.found.values()))
    shown = [*rows, together] if len(rows) > 1 else rows
    text = [
        "## Where there is nothing to find\n",
        noise_words(together, group.asked),
        _table(_NOISE_HEADINGS, map(_noise_row, shown)),
    ]
    return "\n".join(text), {
        "asked": group.asked,
        "worlds": {one.world: asdict(one) for one in shown},
    }


def noise_words(one: NoiseFigures, asked: Mapping[str, Any]) -> str:
    """Say what the figures on noise come to."""
    lines = [
        f"Runs of 11 symbols of {asked['n_rows']} rows, trees, {asked['n_trials']} trials a study: "
        f"{_rate(one.with_sweep)} of the runs deployed anything with the sweep, "
        f"{_rate(one.without)} without; promised: at most {MOST_FALSE_DEPLOYS:.0%} "
        f"({one.with_sweep.at_most(MOST_FALSE_DEPLOYS)}).",
        f"{_rate(one.looked)} of the studies came to be compared on the later blocks, "
        f"{_rate(one.adopted)} of these were adopted, and {one.placed} of the adopted models took "
        f"the council's place. {one.differing} runs deployed something else with the sweep.",
        "In brackets: 95% intervals (Clopper-Pearson).",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def throughput_page(group: Group) -> tuple[str, dict[str, Any]]:
    """Return the part on cost, and its figures; empty without a pair of sweeps."""
    found = group.found
    repetitions = sorted({key[0] for key in found if {(key[0], SHORT), (key[0], LONG)} <= {*found}})
    figures = [throughput_figures(found[n, SHORT], found[n, LONG]) for n in repetitions]
    if not figures:
        return "", {}
    asked = group.asked
    lines = [
        f"- {asked['model']} on {', '.join(asked['symbols'])} ({asked['source']}), "
        f"{asked['workers']} at a time, tracking={asked['tracking']}: the same fits in a bare loop "
        "in the same run. A trial's cost is the difference between a long and a short sweep over "
        "the difference in trials; what the command takes besides is *fixed*.",
        f"- Overhead {', '.join(f'{one.overhead:.1%}' for one in figures)} above fits and the "
        "predictions of their blocks, "
        f"{', '.join(f'{one.overhead_scored:.1%}' for one in figures)} where the training rows are "
        "predicted as well, as the objective asks; wanted: below "
        f"{MOST_OVERHEAD:.0%}.",
    ]
    table = _table(_THROUGHPUT_HEADINGS, map(_throughput_row, figures))
    return "\n".join(["## What a trial costs\n", *lines, "", table]), {
        "asked": asked,
        "repetitions": [
            {**asdict(one), "overhead": one.overhead, "overhead_scored": one.overhead_scored}
            for one in figures
        ],
    }


_EDGE_HEADINGS = ("", "no skill", "default", "TPE", "random", "attainable", "TPE closes", "random")
_NOISE_HEADINGS = (
    *("noise", "runs that deployed, swept", "without", "symbols, swept", "without"),
    *("studies looked at", "of these adopted", "in the council's place", "CPU s a run"),
)
_THROUGHPUT_HEADINGS = (
    *("trials", "CPU s a trial, command", "bare", "training rows", "overhead"),
    *("over both", "trials a CPU minute, command", "bare", "fixed, CPU s"),
)


def _edge_rows(found: Sequence[Found], one: EdgeFigures) -> Iterable[Sequence[str]]:
    for symbol in dict.fromkeys(own["symbol"] for own in found):
        yield _edge_row(symbol, [own for own in found if own["symbol"] == symbol])
    yield _edge_row(f"all {one.markets}", found)


def _edge_row(name: str, found: Sequence[Found]) -> tuple[str, ...]:
    columns = {key: [one[key] for one in found] for key in ("no_skill", "default", "attainable")}
    tuned = {key: [one["samplers"][key]["tuned"] for one in found] for key in (TPE, RANDOM)}
    shares = [share_closed(columns["default"], tuned[key], columns["attainable"]) for key in tuned]
    losses = (columns["no_skill"], columns["default"], *tuned.values(), columns["attainable"])
    means = (f"{sum(values) / len(values):.4f}" for values in losses)
    return (name, *means, *(f"{one.value:.0%}" for one in shares))


def _noise_row(one: NoiseFigures) -> tuple[str, ...]:
    rates = (one.with_sweep, one.without, one.symbols_with, one.symbols_without)
    shown = [_rate(rate) for rate in (*rates, one.looked, one.adopted)]
    return (one.world, *shown, str(one.placed), f"{one.cpu_s:.0f}")


def _throughput_row(one: ThroughputFigures) -> tuple[str, ...]:
    command, bare = one.trials_per_min
    return (
        *(str(one.trials), f"{one.sweep_s:.3f}", f"{one.bare_s:.3f}", f"{one.scoring_s:.3f}"),
        *(f"{one.overhead:.1%}", f"{one.overhead_scored:.1%}", f"{command:.0f}"),
        *(f"{bare:.0f}", f"{one.fixed_s:.1f}"),
    )


def _doubt(one: EdgeFigures) -> str:
    """Say where a ratio has nothing sure to divide by."""
    return "" if one.share[RANDOM].low > 0 else " (random search's own gain may be none)"


def _percent(one: Estimate, *, points: bool = False) -> str:
    unit = " points" if points else "%"
    low, high = (f"{100 * value:.0f}" for value in (one.low, one.high))
    return f"{100 * one.value:.0f}{unit} ({low} to {high})"


def _millinats(one: Estimate) -> str:
    value, low, high = (f"{MILLI * value:+.1f}" for value in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def _number(one: Estimate) -> str:
    value, low, high = (
        f"{value:.2f}" if math.isfinite(value) else str(value)
        for value in (one.value, one.low, one.high)
    )
    return f"{value} ({low} to {high})"


def _rate(rate: Rate) -> str:
    if not rate.n:
        return "none"
    low, high = rate.interval
    return f"{rate.hits} of {rate.n} = {rate.share:.1%} ({low:.1%} to {high:.1%})"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
