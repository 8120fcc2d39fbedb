"""From checked settings to the service."""

from functools import partial

from live.service.app import Service, tell_of_symbols_without_model
from live.service.loaded import (
    LoadedExits,
    LoadedManifest,
    exits_digest,
    load_exits,
    load_manifest,
    manifest_digest,
)
from live.service.metrics import Metrics
from live.service.watching import Watched
from pipelines.serve_settings import ServeSettings


def service(settings: ServeSettings) -> Service:
    """Return the service that was configured; nothing is loaded yet."""
    metrics, alerts = Metrics(), settings.alerts
    manifest: Watched[LoadedManifest] = Watched(
        "manifest",
        digest=partial(manifest_digest, settings.manifest),
        load=partial(load_manifest, settings.manifest, public_key=settings.public_key),
        metrics=metrics,
        alerts=alerts,
        loaded=tell_of_symbols_without_model(alerts),
    )
    exits: Watched[LoadedExits] | None = None
    if settings.exit_model is not None:
        exits = Watched(
            "exits",
            digest=partial(exits_digest, settings.exit_model),
            load=partial(load_exits, settings.exit_model),
            metrics=metrics,
            alerts=alerts,
        )
    return Service(
        manifest=manifest,
        exits=exits,
        metrics=metrics,
        alerts=alerts,
        api_key=settings.api_key,
        limits=settings.limits,
    )
