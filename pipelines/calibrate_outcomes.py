"""Every symbol's later outcomes, or the sentence why it has none."""

from dataclasses import dataclass, field

import numpy as np

from live.resolved import Resolved, resolved
from live.rolled_back import rolled_back
from market.bars import DataError
from pipelines.calibrate_settings import CalibrateSettings
from pipelines.command import ConfigError
from pipelines.live_inputs import bars_of, check_known, check_same_market, opened
from selection import DeployedModels
from selection.deployed_files import DeploymentError
from selection.live_calibration import LiveCalibration
from selection.signing import SigningError, read_signature


@dataclass(slots=True)
class Outcomes:
    """What became of the symbols.

    Attributes
    ----------
    resolved : list of Resolved
    live : dict
        By symbol, the calibration in the manifest, or None.
    without_model : dict of str to str
        Why nothing is deployed.
    failed : dict of str to str
        One sentence for each of the others.
    rolled_back : dict
        By symbol, up to when a calibration had read that was rolled back, UTC.
    digests : dict of str to str
        What identifies the bars of each symbol that was read.
    warnings : list of str
        What is odd about bars.
    """

    resolved: list[Resolved] = field(default_factory=list)
    live: dict[str, LiveCalibration | None] = field(default_factory=dict)
    without_model: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    rolled_back: dict[str, np.datetime64] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def live_models(settings: CalibrateSettings) -> DeployedModels:
    """Return the models that are live; raises ConfigError where they cannot be calibrated."""
    path = settings.manifest
    deployed = opened("manifest.path", path, settings.public_key)
    try:
        is_signed = read_signature(path.parent, path.read_bytes()) is not None
    except SigningError as error:
        raise ConfigError(f"manifest.path: {error}") from error
    if settings.publish and is_signed and settings.key is None:
        raise ConfigError(
            f"manifest.signing_key is missing: {path} is signed, and what replaces it must be; "
            "give manifest.sign=true manifest.signing_key=FILE, or publish=false"
        )
    check_same_market(deployed, settings.source, seed=settings.seed)
    check_known(settings.symbols, deployed)
    return deployed


def find_outcomes(settings: CalibrateSettings, deployed: DeployedModels) -> Outcomes:
    """Find the outcomes of one symbol after the other; one that fails is named and passed over."""
    done, taken_back = Outcomes(), rolled_back(settings.manifest, deployed)
    for symbol in dict.fromkeys(settings.symbols or deployed.manifest["selections"]):
        selection = deployed.selection(symbol)
        if selection["selected_model"] is None:
            done.without_model[symbol] = str(selection["reason"])
            continue
        try:
            read = bars_of(settings.source, symbol, settings.seed, until=settings.until)
            found = resolved(deployed, symbol, read.bars)
            live = deployed.live_calibration(symbol)
        except (DataError, DeploymentError) as error:
            done.failed[symbol] = str(error)
            continue
        done.resolved.append(found)
        done.live[symbol] = live
        done.digests[symbol] = read.digest
        if read.odd:
            done.warnings.append(f"{symbol}: {read.odd}")
        if symbol in taken_back:
            done.rolled_back[symbol] = taken_back[symbol]
    return done
