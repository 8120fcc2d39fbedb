"""What commands of live trading begin with: a manifest, and bars of the market that it is of."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from market.bar_files import BarFiles
from market.bars import Bars, DataError
from market.simulate import SimulatedMarket
from market.source import is_simulated, source_digest
from market.table_files import TableFiles
from pipelines.command import ConfigError, nearest
from pipelines.readings import gravest_warning
from pipelines.typed_conf import chosen
from selection import DeployedModels
from selection.deployed_files import DeploymentError
from selection.holdout_ledger import REAL_MARKET

OfBars = SimulatedMarket | BarFiles
_KINDS = ("real prices", "a simulated market")


class ReadBars(NamedTuple):
    """One symbol's bars.

    Attributes
    ----------
    bars : Bars
    digest : str
        What identifies all of the data they are of.
    odd : str or None
        The gravest thing that is odd about them.
    """

    bars: Bars
    digest: str
    odd: str | None


def day(key: str, text: str | None) -> np.datetime64 | None:
    """Return the first moment of a day, UTC; raises ConfigError where the text is none."""
    if text is None:
        return None
    try:
        return np.datetime64(date.fromisoformat(text), "us")
    except ValueError:
        raise ConfigError(f"{key} must be a day such as 2020-01-31, was {text!r}") from None


def market_of(source: OfBars, symbol: str, seed: int) -> str:
    """Return which market a symbol's bars are of, however many of them there are by now."""
    if not isinstance(source, SimulatedMarket):
        return REAL_MARKET
    known = {**source.identity(symbol, seed), "n_bars": None}
    return f"simulated {json.dumps({key: one for key, one in known.items() if one is not None})}"


def source_of_bars(values: Any, purpose: str) -> OfBars:
    """Return what the group ``data`` names; raises ConfigError where that holds no bars.

    Parameters
    ----------
    values : mapping
    purpose : str
        What the bars are for, as in ``to replay``.
    """
    source = chosen("data", values)
    if isinstance(source, TableFiles):
        raise ConfigError(f"data=table holds no bars {purpose}; use data=bars or data=demo")
    found: OfBars = source
    return found


def opened(key: str, path: Path, public_key: Path | None) -> DeployedModels:
    """Open a manifest, and leave out symbols whose files are refused.

    Raises
    ------
    ConfigError
        If it cannot be used; ``key`` names the setting that gave its path.
    """
    try:
        return DeployedModels.from_manifest(path, public_key=public_key, skip_broken=True)
    except DeploymentError as error:
        raise ConfigError(f"{key}: {error}") from error


def check_same_market(deployed: DeployedModels, source: OfBars, *, seed: int | None = None) -> None:
    """Refuse bars of another market than the one that the models were trained on.

    Parameters
    ----------
    deployed : DeployedModels
    source : SimulatedMarket or BarFiles
    seed : int, optional
        Of the simulated market, where another one is of no use.

    Raises
    ------
    ConfigError
    """
    provenance = deployed.manifest.get("provenance", {})
    was, now = provenance.get("simulated"), is_simulated(source)
    if isinstance(was, bool) and was != now:
        raise ConfigError(
            f"data: the models were trained on {_KINDS[was]}, these bars are of {_KINDS[now]}"
        )
    trained = provenance.get("seed")
    if now and None not in (seed, trained) and seed != trained:
        raise ConfigError(
            f"seed: {seed} here, {trained} in the manifest: another seed is another market; give "
            f"seed={trained}"
        )


def check_known(symbols: Iterable[str] | None, deployed: DeployedModels) -> None:
    """Refuse symbols that a manifest does not hold; raises ConfigError with the nearest."""
    known = list(deployed.manifest["selections"])
    for symbol in symbols or ():
        if symbol not in known:
            raise ConfigError(f"symbols: {symbol} is not in the manifest{nearest(symbol, known)}")


def bars_of(
    source: OfBars, symbol: str, seed: int, *, until: np.datetime64 | None = None
) -> ReadBars:
    """Read or simulate one symbol.

    Parameters
    ----------
    source : SimulatedMarket or BarFiles
    symbol : str
    seed : int
        Of the simulated market.
    until : datetime64, optional
        Bars that close later are left out, UTC.

    Raises
    ------
    DataError
        If it is not in the data, cannot be used, or no bar is left.
    """
    if symbol not in source.symbols:
        raise DataError(f"{symbol}: is not in the data; there are: {', '.join(source.symbols)}")
    odd = None
    if isinstance(source, SimulatedMarket):
        bars = source.bars(symbol, seed)
    else:
        bars, report = source.read(symbol)
        odd = gravest_warning(report)
    if until is not None:
        n_before = int(np.count_nonzero(bars.close_time_T <= until))
        if not n_before:
            raise DataError(f"{symbol}: no bar closes before {until.astype('datetime64[D]')}")
        bars = bars.until(n_before)
    return ReadBars(bars, source_digest(source, symbol, seed), odd)
