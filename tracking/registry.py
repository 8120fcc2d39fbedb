"""Registers models by symbol, and keeps the alias that deployers ask for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tracking.calls import Promotion
from tracking.entities import registry_text, tags_of
from tracking.records import ModelRecord
from tracking.store import Store, create_once

CHAMPION = "champion"
PROMOTED_AT = "promoted_at"

# A page of versions shows all tags of each: those that a deployer asks for, and the one that a
# version is found by.
VERSION_TAGS = ("model", "symbol", "data", "git_commit", "execution")


def register(
    store: Store, record: ModelRecord, model: Any, *, tags: Mapping[str, str], known: set[str]
) -> str | None:
    """Make a logged model the next version of its registered name; return the version.

    Parameters
    ----------
    model
        MLflow's logged model.
    tags
        Of the model; the version gets those in `VERSION_TAGS`.
    known
        Names that exist in the registry, to which a new one is added.
    """
    name = record.registered_name
    if name is None:
        return None
    client = store.client
    if name not in known:
        text = registry_text(record.registered_description)
        create_once(lambda: client.create_registered_model(name, description=text))
        known.add(name)
    registered = client.create_model_version(
        name,
        # MLflow resolves `models:/` addresses on the server, but in a local store through
        # its process-wide default address, which the tracker leaves alone.
        source=model.artifact_location if store.is_local else f"models:/{model.model_id}",
        run_id=model.source_run_id,
        model_id=model.model_id,
        tags=tags_of({name: one for name, one in tags.items() if name in VERSION_TAGS}),
        await_creation_for=0,
    )
    return str(registered.version)


def promote(client: Any, call: Promotion, version: str, *, late: bool) -> str | None:
    """Point `champion` at a version and describe the model anew, or say why that was not done.

    What a deployer loads by alias trades: only a version known to be simulated gives way to one.
    The version tells by its tags which manifest names it: several may share a store. The model
    tells when its alias was given last: of two promotions the later one holds, in whatever order
    they arrive.

    Parameters
    ----------
    late
        Whether the call waited in a queue, so that a newer one may have come before it.
    """
    name = call.registered_name
    registered = client.get_registered_model(name)
    holder = registered.aliases.get(CHAMPION)
    if call.simulated and holder is not None:
        # A local store gives the version as a number.
        tags = client.get_model_version(name, str(holder)).tags
        if tags.get("data") != "simulated":
            return (
                f"alias {CHAMPION} stays with version {holder}, which was not trained on "
                f"simulated data as version {version} of this run was"
            )
    if call.manifest is not None and call.manifest_sha256 is not None:
        tags = {"manifest": call.manifest, "manifest_sha256": call.manifest_sha256}
        for tag, value in tags_of(tags).items():
            client.set_model_version_tag(name, version, tag, value)
    newest = registered.tags.get(PROMOTED_AT, "")
    at = _sortable(call.at)
    if late and newest > at:
        return (
            f"alias {CHAMPION} stays with version {holder}, promoted at {newest}, after "
            f"version {version} was at {at}"
        )
    # The time first: what is cut off between the two gives way to a newer one when it comes again.
    client.set_registered_model_tag(name, PROMOTED_AT, at)
    client.set_registered_model_alias(name, CHAMPION, version)
    client.update_registered_model(name, registry_text(call.description))
    return None


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
