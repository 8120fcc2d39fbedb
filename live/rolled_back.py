"""Calibrations that were live until somebody rolled them back, as the deploy history tells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backtest.period import moment
from selection import DeployedModels
from selection.amended import AMENDED
from selection.challenger_state import files_digest
from selection.deploy_history import read_history
from selection.deployed_files import DeploymentError
from selection.promotion import named

# Of what a calibration says of itself under ``provenance.amended``: by symbol, what it had read.
FITTED_UNTIL = "fitted_until"


def rolled_back(live: Path, deployed: DeployedModels) -> dict[str, np.datetime64]:
    """Return by symbol up to when the calibration had read that was rolled back, UTC.

    Of several the latest counts. One that stands again is not among them, nor one of another model
    than the one that is live: what that said of its events is another question. A manifest that is
    kept no more tells nothing.

    Parameters
    ----------
    live : Path
        The live manifest; its history lies beside it.
    deployed : DeployedModels
        Of that manifest.

    Raises
    ------
    OSError
        If there is a history and it cannot be read.
    """
    found: dict[str, np.datetime64] = {}
    selections = deployed.manifest["selections"]
    now = _amendments(deployed.manifest)
    for change in read_history(live).deployments:
        if change.action != "rollback" or change.outcome != "live" or not change.replaced_sha256:
            continue
        try:
            before, _ = named(live, change.replaced_sha256)
        except (DeploymentError, OSError):
            continue
        for symbol, said in _amendments(before).items():
            until = _read_until(symbol, said)
            was = before["selections"].get(symbol, {})
            stands = said == now.get(symbol) or symbol not in selections
            if until is None or stands or files_digest(was) != files_digest(selections[symbol]):
                continue
            found[symbol] = max(found.get(symbol, until), until)
    return found


def _amendments(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (manifest.get("provenance") or {}).get(AMENDED)
    return found if isinstance(found, dict) else {}


def _read_until(symbol: str, said: Any) -> np.datetime64 | None:
    """Return up to when a calibration had read; None where the amendment was another one."""
    try:
        return moment(said[FITTED_UNTIL][symbol]) if said["action"] == "calibrate" else None
    except (LookupError, TypeError, ValueError):
        return None
