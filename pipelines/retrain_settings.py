"""From a composed configuration of retrain to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from live.drift_report import FILE as DRIFT
from market.bar_files import BarFiles
from market.simulate import SimulatedMarket
from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.live_inputs import OfBars, check_known, check_same_market, day, opened
from pipelines.settings import TrainSettings, train_settings
from pipelines.typed_conf import section, typed
from selection import DeployedModels
from selection.signing import SigningError, read_signature

OWN_SCALARS: dict[str, Any] = {
    "public_key": str | None,
    "drift": str | None,
    "until": str | None,
    "learn_from": str | None,
    "renew": bool,
}
OWN_KEYS = (*OWN_SCALARS, "challenge", "alerts")


class ChallengeRule:
    """When a challenger is judged, and what it must show."""

    def __init__(self, *, min_events: int, alpha: float) -> None:
        if min_events < 10:
            raise ValueError(f"min_events must be at least 10, was {min_events}")
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must be in (0, 0.5), was {alpha}")
        self.min_events, self.alpha = min_events, alpha


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """What `pipelines.retrain` is told.

    Attributes
    ----------
    train : TrainSettings
        How every challenger is trained; its source holds all bars, later ones too.
    by_hand : list of str or None
        Symbols to train whatever drift says; None goes by its report.
    drift : Path
    drift_given : bool
        Whether the command line names the report.
    until : datetime64[us] or None
        Of symbols by hand, bars that close later are not learnt from; None takes all.
    learn_from : datetime64[us] or None
        Events decided before are not learnt from; None takes all.
    renew : bool
    rule : ChallengeRule
    public_key : Path or None
    """

    train: TrainSettings
    by_hand: list[str] | None
    drift: Path
    drift_given: bool
    until: np.datetime64 | None
    learn_from: np.datetime64 | None
    renew: bool
    rule: ChallengeRule
    public_key: Path | None

    @property
    def manifest(self) -> Path:
        """The live manifest."""
        return self.train.manifest_path

    @property
    def source(self) -> OfBars:
        """All bars."""
        source = self.train.source
        if not isinstance(source, SimulatedMarket | BarFiles):
            raise ConfigError(
                "data=table holds no bars, and what a model would have said of later ones cannot "
                "be told; use data=bars or data=demo"
            )
        return source


def retrain_settings(conf: Mapping[str, Any]) -> RetrainSettings:
    """Check a composed configuration of retrain; raises ConfigError with one line."""
    for key in OWN_KEYS:
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    values = {key: typed(key, conf[key], kind) for key, kind in OWN_SCALARS.items()}
    rule: ChallengeRule = section("challenge", conf["challenge"], ChallengeRule)
    until, learn_from = (day(key, values[key]) for key in ("until", "learn_from"))
    if until is not None and conf["symbols"] is None:
        raise ConfigError(
            "until goes with symbols=[...]: what drift names is trained up to its alarm"
        )
    train = train_settings(training_conf(conf))
    path = train.manifest_path
    drift = path.with_name(DRIFT) if values["drift"] is None else Path(values["drift"])
    settings = RetrainSettings(
        train=train,
        by_hand=None if conf["symbols"] is None else train.symbols,
        drift=drift,
        drift_given=values["drift"] is not None,
        until=until,
        learn_from=learn_from,
        renew=values["renew"],
        rule=rule,
        public_key=checked_public_key(values["public_key"]),
    )
    _ = settings.source
    return settings


def training_conf(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of train_all that a retraining agrees with."""
    return {key: one for key, one in conf.items() if key not in OWN_KEYS}


def live_models(settings: RetrainSettings) -> DeployedModels:
    """Return the models that are live, where this command may replace some of them.

    Raises
    ------
    ConfigError
        If there is no such manifest, it is of another market, or it is signed and there is no key.
    """
    path = settings.manifest
    if not path.exists():
        raise ConfigError(
            f"manifest.path: {path}: no such manifest; train first, or give the path of one"
        )
    deployed = opened("manifest.path", path, settings.public_key)
    try:
        is_signed = read_signature(path.parent, path.read_bytes()) is not None
    except SigningError as error:
        raise ConfigError(f"manifest.path: {error}") from error
    if is_signed and settings.train.signing_key is None:
        raise ConfigError(
            f"manifest.signing_key is missing: {path} is signed, and what replaces it must be; "
            "give manifest.sign=true manifest.signing_key=FILE"
        )
    check_same_market(deployed, settings.source, seed=settings.train.seed)
    _check_same_costs(settings, deployed.manifest.get("provenance", {}))
    check_known(settings.by_hand, deployed)
    return deployed


def check_same_question(symbol: str, selection: Mapping[str, Any], conf: Mapping[str, Any]) -> None:
    """Refuse a configuration by which a challenger would answer another question.

    Events and outcomes must be those of the champion, or the two cannot be compared.

    Raises
    ------
    ConfigError
    """
    definition = selection.get("features", {}).get("definition")
    stated = {
        **(
            {}
            if definition is None
            else {part: definition[part] for part in ("features", "events")}
        ),
        "labels": selection.get("label"),
    }
    for group, was in stated.items():
        now = conf[group]
        for key in () if was is None else sorted({*was, *now}):
            if was.get(key) != now.get(key):
                raise ConfigError(
                    f"{group}.{key}: {now.get(key)} here, {was.get(key)} in the manifest's "
                    f"{symbol}: a challenger must answer the champion's question; set it so, or "
                    "train by train_all"
                )


def _check_same_costs(settings: RetrainSettings, provenance: Mapping[str, Any]) -> None:
    was, now = provenance.get("costs_atr"), settings.train.payoff.cost_atr
    if was is not None and not np.isclose(was, now, atol=1e-9):
        raise ConfigError(
            f"costs: {now:g} ATR a trade here, {was:g} in the manifest; set them so, or train by "
            "train_all"
        )
