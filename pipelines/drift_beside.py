"""The report of drift beside the manifest: what of it still holds when another look is made."""

from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from live.drift_report import (
    FILE,
    DriftReport,
    DriftReportError,
    SymbolDrift,
    read_drift,
    write_drift,
)
from pipelines.command import ConfigError
from pipelines.writable import writable_folder
from selection import DeployedModels
from selection.challenger_state import files_digest
from selection.deployed_files import DeploymentError
from selection.promotion import named

_LOCK_TIMEOUT_S: Final = 30.0


def check_writable(manifest: Path) -> None:
    """Refuse a manifest beside which no report can be written; raises ConfigError."""
    file = manifest.with_name(FILE)
    if file.is_dir():
        raise ConfigError(f"beside: {file} is a folder; move it, or give beside=false")
    writable_folder("beside", file.parent)


def still_said(manifest: Path, deployed: DeployedModels) -> dict[str, SymbolDrift]:
    """Return by symbol what the report beside the manifest says of a model that is still live.

    A calibration makes the next manifest, and the model in it stays the same: so does what was
    found of it. Of a symbol whose model was replaced, nothing is said any more. A report that is
    missing, cannot be read, or is of a manifest that is kept no more says nothing.

    Parameters
    ----------
    manifest : Path
        The live manifest.
    deployed : DeployedModels
        Its models.
    """
    try:
        report = read_drift(manifest.with_name(FILE))
        if report.manifest_sha256 == deployed.sha256:
            looked_at: dict[str, Any] = deployed.manifest["selections"]
        else:
            looked_at = named(manifest, report.manifest_sha256)[0]["selections"]
    except (DriftReportError, DeploymentError, OSError):
        return {}
    now = deployed.manifest["selections"]
    return {
        symbol: one
        for symbol, one in report.symbols.items()
        if symbol in now
        and symbol in looked_at
        and files_digest(now[symbol]) == files_digest(looked_at[symbol])
    }


def write_beside(manifest: Path, deployed: DeployedModels, report: DriftReport) -> DriftReport:
    """Put a look into the report beside the manifest, and leave what stands of other symbols.

    Returns the report that lies there now.

    An alarm stands too where this look could not be made. Looks at different symbols may end at the
    same time: each waits for the other.

    Raises
    ------
    OSError
        If it cannot be written; TimeoutError where another writer holds it for 30 seconds.
    """
    file = manifest.with_name(FILE)
    with FileLock(file.with_name(f".{FILE}.lock"), timeout=_LOCK_TIMEOUT_S):
        before = still_said(manifest, deployed)
        found = {**before, **report.symbols}
        for symbol, one in before.items():
            if one.status == "tripped" and found[symbol].status == "failed":
                found[symbol] = one
        order = [one for one in deployed.manifest["selections"] if one in found]
        merged = {symbol: found[symbol] for symbol in order}
        now = report.model_copy(update={"symbols": merged})
        write_drift(file, now)
    return now
