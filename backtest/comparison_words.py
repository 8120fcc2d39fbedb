"""A comparison of policies in words: the rows that the console and the page put first."""

from dataclasses import dataclass

from backtest.comparison import Comparison, Difference, PolicyResult
from backtest.estimates import Estimate
from backtest.headline import in_words, interval_in_words, number_in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One policy, or the difference of two, as text.

    `against` is the baseline of a difference, and `why` says why there is no interval.
    """

    name: str
    against: str
    trades: str
    r: str
    r_interval: str
    atr: str
    atr_interval: str
    won: str
    bars: str
    tail: str
    why: str


def plain(name: str) -> str:
    """Return a policy's name for a reader."""
    return name.replace("_", " ")


def policy_rows(comparison: Comparison) -> list[ComparedRow]:
    """Return a row for each policy."""
    return [_policy(one) for one in comparison.policies]


def difference_rows(comparison: Comparison) -> list[ComparedRow]:
    """Return a row for each difference, of the trades that both policies made."""
    return [_difference(one) for one in comparison.differences]


def verdicts(comparison: Comparison) -> list[str]:
    """Return for each difference one sentence on whether it could be chance."""
    return [_verdict(one) for one in comparison.differences]


def unpaired(comparison: Comparison) -> list[str]:
    """Return for each difference how many trades are no part of it, where there are any."""
    return [
        f"of signals that the other did not trade, {plain(one.name)} has {one.n_only:,} and "
        f"{plain(one.baseline)} {one.n_only_baseline:,}"
        for one in comparison.differences
        if one.n_only or one.n_only_baseline
    ]


def _policy(one: PolicyResult) -> ComparedRow:
    return ComparedRow(
        name=plain(one.name),
        against="",
        trades=f"{one.n_trades:,}",
        won=number_in_words(one.win_share, ".1%"),
        bars=number_in_words(one.mean_bars, ",.1f"),
        tail=number_in_words(one.r_tail, "+.2f"),
        **_units(one.r, one.atr),
    )


def _difference(one: Difference) -> ComparedRow:
    return ComparedRow(
        name=f"{plain(one.name)} less {plain(one.baseline)}",
        against=plain(one.baseline),
        trades=f"{one.n_pairs:,}",
        won="",
        bars="",
        tail="",
        **_units(one.r, one.atr),
    )


def _units(r: Estimate, atr: Estimate) -> dict[str, str]:
    return {
        "r": in_words(r, "+.3f"),
        "r_interval": interval_in_words(r, "+.2f"),
        "atr": in_words(atr, "+.3f"),
        "atr_interval": interval_in_words(atr, "+.2f"),
        "why": r.why,
    }


def _unless_in_atr(atr: Estimate, *, better: bool) -> str:
    """Return what must be said where the difference in ATR does not bear out that in R."""
    if atr.low is None or atr.high is None:
        return f"; in ATR nothing can be said, {atr.why}"
    if atr.low > 0 if better else atr.high < 0:
        return ""
    return f"; in ATR it is not: {atr.low:+.3f} to {atr.high:+.3f}"


def _verdict(one: Difference) -> str:
    name, baseline, r = plain(one.name), plain(one.baseline), one.r
    if r.value is None:
        return f"nothing can be said of {name} and {baseline}: no signal that both have traded"
    if r.low is None or r.high is None:
        return f"nothing can be said of {name} and {baseline}: {r.value:+.3f} R, but {r.why}"
    between = f"{r.low:+.3f} to {r.high:+.3f} R a trade"
    if r.low > 0 or r.high < 0:
        better = r.low > 0
        than = "better" if better else "worse"
        in_atr = _unless_in_atr(one.atr, better=better)
        return f"{name} is {than} than {baseline}: {between}{in_atr}"
    return f"{name} is neither better nor worse than {baseline} beyond chance: {between}"
