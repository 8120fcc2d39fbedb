"""A replay across a holdout is a look at it: written down before anything is replayed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from backtest.entries import Entries
from backtest.period import Window
from selection import DeployedModels
from selection.holdout_ledger import (
    LEDGER,
    REAL_MARKET,
    HoldoutLedger,
    Opening,
    Openings,
    in_words,
)
from selection.live_manifest import as_utc

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks.

    Attributes
    ----------
    conf_digest : str
        What identifies the configuration of the replay, its manifest included.
    data_digests : mapping of str to str
        What identifies each symbol's bars.
    """

    conf_digest: str
    data_digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A holdout that a replay shows.

    Attributes
    ----------
    openings : Openings
        How often it was opened, this replay included.
    ledger_lacks_training : bool
        Whether the manifest says that training has opened it, and the ledger does not.
    """

    openings: Openings
    ledger_lacks_training: bool

    @property
    def in_words(self) -> str:
        """How often it was opened and what that means, in one line."""
        known = in_words(self.openings)
        if not self.ledger_lacks_training:
            return known
        return f"{known}; the ledger beside the manifest lacks that training had opened it before"


def record_looks(
    deployed: DeployedModels, entries: Iterable[Entries], look: Look
) -> dict[str, Shown]:
    """Write down every holdout that a replay will show, and return how often each was opened.

    To be called before anything is replayed, and only what returns may be replayed. The ledger is
    the one beside the manifest, of training. An opening by training that it lacks, as that of a
    manifest that was copied without it, is counted all the same.

    Returns
    -------
    dict
        By symbol; nothing for one whose holdout is not touched.

    Raises
    ------
    ValueError, OSError, TimeoutError
        As `HoldoutLedger.record`; no holdout may be shown then.
    """
    ledger = HoldoutLedger(deployed.folder / LEDGER)
    recorded = ledger.recorded()
    shown = {}
    for one in entries:
        opening = _opening(deployed, one, look)
        if opening is None:
            continue
        by_training = _by_training(deployed, opening)
        lacking = [it for it in by_training if not any(_is_same(it, other) for other in recorded)]
        openings = ledger.record(opening, unrecorded=lacking)
        shown[opening.symbol] = Shown(openings, ledger_lacks_training=bool(lacking))
    return shown


def _by_training(deployed: DeployedModels, opening: Opening) -> list[Opening]:
    """Return the opening that the manifest says training has made, if it says so of this one."""
    selection = deployed.selection(opening.symbol)
    window = Window.of(opening.symbol, selection)
    if window is None or not isinstance(selection.get("holdout"), Mapping):
        return []
    provenance = deployed.manifest.get("provenance", {})
    made = replace(
        opening,
        start_utc=window.first_utc,
        end_utc=window.last_utc,
        conf_digest=provenance.get("conf_digest") or UNKNOWN,
        data_digest=selection.get("data_digest") or UNKNOWN,
        time_utc=as_utc(datetime.fromisoformat(deployed.manifest["timestamp"])),
        model=str(selection["selected_model"]),
    )
    return [made] if made.overlaps(opening) else []


def _is_same(opening: Opening, recorded: Opening) -> bool:
    """Tell whether a line is the opening that a manifest speaks of; unknown digests fit any."""
    return opening.overlaps(recorded) and opening.conf_digest in (UNKNOWN, recorded.conf_digest)


def _opening(deployed: DeployedModels, entries: Entries, look: Look) -> Opening | None:
    if entries.touched is None:
        return None
    symbol = entries.market.symbol
    provenance: Mapping[str, Any] = deployed.manifest.get("provenance", {})
    data_digest = look.data_digests[symbol]
    # As training names it: longer bars of a simulated market are the same market.
    trained_on = deployed.selection(symbol).get("data_digest", data_digest)
    return Opening(
        symbol=symbol,
        market=trained_on if provenance.get("simulated") else REAL_MARKET,
        start_utc=entries.touched.first_utc,
        end_utc=entries.touched.last_utc,
        conf_digest=look.conf_digest,
        data_digest=data_digest,
        run_id=None,
        time_utc=datetime.now(UTC),
        model=entries.market.model,
    )
