"""Challengers judged on later events, all that wait together, and each only once.

Axes: N events.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from backtest.period import aware
from live.resolved import Resolved, resolved
from market.bars import Bars
from pipelines.live_inputs import bars_of, market_of
from pipelines.retrain_calls import naive
from pipelines.retrain_settings import RetrainSettings
from selection import DeployedModels
from selection.challenger import Challenge, Verdict, challenged, verdicts
from selection.challenger_state import ChallengerState, challenger_manifest
from selection.challenges import Challenges, Judged
from selection.deployed_files import DeploymentError
from selection.out_of_fold import FloatArray, OutOfFold
from selection.stored_predictions import verified_predictions


@dataclass(frozen=True, slots=True)
class Later:
    """The events that may judge a challenger, and what they say.

    Attributes
    ----------
    challenge : Challenge
        Nobody is shown it before it is written down.
    from_utc, until_utc : datetime or None
        First decision, and when the last outcome was known; None without events.
    n_open : int
        Later events whose outcome is not known yet.
    """

    challenge: Challenge
    from_utc: datetime | None
    until_utc: datetime | None
    n_open: int


def opened_challenger(settings: RetrainSettings, state: ChallengerState) -> DeployedModels:
    """Return a challenger as a deployer opens it, if it is what was trained.

    Raises
    ------
    DeploymentError
        If its manifest or a file is another by now.
    """
    path = challenger_manifest(settings.manifest, state)
    opened = DeployedModels.from_manifest(path, public_key=settings.public_key)
    if opened.sha256 != state.manifest_sha256:
        raise DeploymentError(
            f"{path}: is not the manifest that {state.symbol}'s challenger was trained into; "
            "renew=true trains another"
        )
    return opened


def later_events(
    settings: RetrainSettings,
    deployed: DeployedModels,
    challenger: DeployedModels,
    state: ChallengerState,
    used_until: datetime | None,
) -> Later:
    """Return what events say that are later than all that was read before.

    Later than what champion and challenger were trained, chosen and scored on; than what the
    champion's live calibration has read, for before it does not speak as it is traded; than the
    alarm, whose events speak against the champion because they were looked for; and than any event
    that has judged a challenger of this symbol.

    Raises
    ------
    DeploymentError, DataError
        If a model or the bars cannot be used.
    """
    symbol = state.symbol
    bars = all_bars(settings, symbol)
    its = resolved(challenger, symbol, bars)
    own = None if state.champion is None else resolved(deployed, symbol, bars)
    after = max(naive(one) for one in (state.trained_until, state.alarm, used_until) if one)
    if own is not None and (calibration := deployed.live_calibration(symbol)) is not None:
        after = max(after, calibration.fitted_until)
    since = its.since if own is None else max(its.since, own.since)
    base_rate = _base_rate(challenger, symbol)
    rows = _rows(its, its.p_N, base_rate, after, since)
    champion = None if own is None else _rows(own, own.p_live_N, base_rate, after, since)
    return Later(
        challenge=challenged(rows, champion),
        from_utc=aware(rows.t0_N[0]) if len(rows) else None,
        until_utc=aware(rows.t1_N.max()) if len(rows) else None,
        n_open=its.n_open,
    )


def all_bars(settings: RetrainSettings, symbol: str) -> Bars:
    """Return all bars of a symbol; raises DataError if they cannot be used."""
    return bars_of(settings.source, symbol, settings.train.seed).bars


def judged(
    settings: RetrainSettings,
    ready: Mapping[str, tuple[ChallengerState, Later]],
    ledger: Challenges,
) -> dict[str, Judged]:
    """Judge the challengers of several symbols together, and write it down before it is told."""
    if not ready:
        return {}
    rule = settings.rule
    found = verdicts({symbol: one.challenge for symbol, (_, one) in ready.items()}, rule.alpha)
    together = {
        symbol: _record(
            state,
            later,
            found[symbol],
            rule.alpha,
            market_of(settings.source, symbol, settings.train.seed),
        )
        for symbol, (state, later) in ready.items()
    }
    ledger.record(list(together.values()))
    return together


def _record(
    state: ChallengerState, later: Later, verdict: Verdict, alpha: float, market: str
) -> Judged:
    one = later.challenge
    if state.manifest_sha256 is None or later.from_utc is None or later.until_utc is None:
        raise ValueError(f"{state.symbol}: a challenger without events cannot be judged")
    return Judged(
        symbol=state.symbol,
        market=market,
        challenger_sha256=state.manifest_sha256,
        champion=state.champion,
        from_utc=later.from_utc,
        until_utc=later.until_utc,
        rows=one.rows,
        effective_rows=one.effective_rows,
        log_loss=one.log_loss,
        champion_log_loss=one.champion_log_loss,
        gain=one.ahead.gain if one.ahead else None,
        standard_error=one.ahead.standard_error if one.ahead else None,
        p_evidence=one.found.p_value,
        p_advantage=one.ahead.p_value if one.ahead else None,
        p_adjusted=verdict.p_adjusted,
        family=verdict.family,
        alpha=alpha,
        adopted=verdict.adopted,
        reason=verdict.reason,
        time_utc=datetime.now(UTC),
    )


def _rows(
    of: Resolved, p_N: FloatArray, base_rate: float, after: np.datetime64, since: np.datetime64
) -> OutOfFold:
    """Return the events that may be read, as the gate reads those out of fold: one block."""
    # At the end only what was decided quickly is known, which is another kind of event.
    kept_N = (of.t0_N > after) & (of.t0_N >= since) & (of.t0_N <= of.complete_until)
    n_rows = int(kept_N.sum())
    return OutOfFold(
        y_N=of.y_N[kept_N],
        p_N=p_N[kept_N],
        base_rate_N=np.full(n_rows, base_rate),
        t0_N=of.t0_N[kept_N],
        t1_N=of.t1_N[kept_N],
        block_N=np.zeros(n_rows, dtype=np.int64),
    )


def _base_rate(challenger: DeployedModels, symbol: str) -> float:
    """Return the share of wins that a challenger has learnt from, as its last fit was told it."""
    import polars as pl

    content = verified_predictions(challenger.folder, symbol, challenger.selection(symbol))
    return float(pl.read_parquet(io.BytesIO(content))["base_rate"][-1])
