"""Say what to do now, per symbol of a deployment manifest: ``python -m pipelines.predict``.

BUY, SELL or HOLD at the close of each symbol's last closed bar, as a table or as JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError, run_command

if TYPE_CHECKING:
    from market.bars import Bars
    from pipelines.answers import Answer
    from pipelines.predict_settings import PredictSettings
    from selection import DeployedModels

# Older than this many of its bars, a last bar is no longer now.
FRESH_BARS = 3


def predict(conf: Mapping[str, Any]) -> int:
    """Answer for every symbol; one that fails is named and passed over."""
    from pipelines.answers import show
    from pipelines.predict_settings import predict_settings
    from selection import DeployedModels
    from selection.atomic import write_json_atomically
    from selection.deployed_files import DeploymentError

    settings = predict_settings(conf)
    try:
        deployed = DeployedModels.from_manifest(
            settings.manifest, public_key=settings.public_key, skip_broken=True
        )
    except DeploymentError as error:
        raise ConfigError(f"manifest: {error}") from error
    now = datetime.now(UTC)
    answers = [_answer(deployed, settings, one, now) for one in _symbols(deployed, settings)]
    warnings = _warnings(deployed, settings)
    document = {
        "timestamp": now,
        "manifest": settings.manifest,
        "manifest_timestamp": deployed.manifest["timestamp"],
        "warnings": warnings,
        "signals": {one.symbol: asdict(one) for one in answers},
    }
    if settings.output is not None:
        write_json_atomically(settings.output, document)
    show(document, answers, form=settings.format)
    failed = sum(one.signal is None for one in answers)
    if failed == 0:
        return ALL_TRAINED
    return SOME_FAILED if failed < len(answers) else NOTHING_TRAINED


def _symbols(deployed: "DeployedModels", settings: "PredictSettings") -> list[str]:
    from pipelines.command import nearest

    known = list(deployed.manifest["selections"])
    for symbol in settings.symbols or []:
        if symbol not in known:
            raise ConfigError(f"symbols: {symbol} is not in the manifest{nearest(symbol, known)}")
    return list(dict.fromkeys(settings.symbols or known))


def _warnings(deployed: "DeployedModels", settings: "PredictSettings") -> list[str]:
    """Say where models and bars come from different worlds."""
    from market.simulate import SimulatedMarket

    of_simulation = deployed.manifest.get("provenance", {}).get("simulated")
    on_simulation = isinstance(settings.source, SimulatedMarket)
    if of_simulation is None or of_simulation == on_simulation:
        return []
    if of_simulation:
        return [
            "these models were trained on a simulated market and know nothing of real prices: "
            "do not trade on them"
        ]
    return ["these bars are simulated, the models were trained on real prices"]


def _answer(
    deployed: "DeployedModels", settings: "PredictSettings", symbol: str, now: datetime
) -> "Answer":
    from market.bars import DataError
    from pipelines.answers import OLD, Answer
    from selection.deployed_files import DeploymentError

    selection = deployed.selection(symbol)
    model = selection["selected_model"]
    if model is None:
        return Answer(symbol, "HOLD", f"no model: {selection['reason']}")
    try:
        bars, odd = _bars(settings, symbol)
        said = deployed.predict_bars(symbol, bars, now=now)
    except (DataError, DeploymentError) as error:
        return Answer(symbol, error=str(error), model=model)
    signal = said.signal
    closed_at = said.closed_at.astype("datetime64[us]").item().replace(tzinfo=UTC)
    age = now - closed_at
    stale = age > FRESH_BARS * bars.length.astype("timedelta64[us]").item()
    return Answer(
        symbol,
        signal.action,
        signal.reason,
        model=model,
        direction=signal.direction,
        probability=signal.p_win,
        threshold=said.threshold,
        closed_at=closed_at,
        age_s=age.total_seconds(),
        stale=stale,
        warning=f"{OLD}: the signal is that of its close, not of now" if stale else None,
        data_warning=odd,
    )


def _bars(settings: "PredictSettings", symbol: str) -> "tuple[Bars, str | None]":
    """Return a symbol's bars and the gravest thing that is odd about them."""
    from market.bars import DataError
    from market.simulate import SimulatedMarket
    from pipelines.readings import gravest_warning

    source = settings.source
    if symbol not in source.symbols:
        raise DataError(f"{symbol}: is not in the data; there are: {', '.join(source.symbols)}")
    if isinstance(source, SimulatedMarket):
        return source.bars(symbol, settings.seed), None
    bars, report = source.read(symbol)
    return bars, gravest_warning(report)


if __name__ == "__main__":
    run_command("predict", predict)
