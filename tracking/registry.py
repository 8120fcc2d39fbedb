"""Registers models by symbol, and keeps the alias that deployers ask for."""

import hashlib
from pathlib import Path
from typing import Any

from tracking.entities import child_tags, registry_text, tags_of
from tracking.records import ModelRecord
from tracking.store import Store, create_once

CHAMPION = "champion"

# A page of versions shows all tags of each: those that a deployer asks for.
VERSION_TAGS = ("model", "symbol", "data", "git_commit")


def register(store: Store, record: ModelRecord, model: Any, *, known: set[str]) -> str | None:
    """Make a logged model the next version of its registered name; return the version.

    Parameters
    ----------
    model
        MLflow's logged model.
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
        tags=tags_of(
            {name: one for name, one in child_tags(record).items() if name in VERSION_TAGS}
        ),
        await_creation_for=0,
    )
    return str(registered.version)


def promote(
    client: Any,
    name: str,
    version: str,
    *,
    simulated: bool,
    description: str,
    manifest: Path | None,
) -> str | None:
    """Point `champion` at a version and describe the model anew, or say why that was not done.

    What a deployer loads by alias trades: only a version known to be simulated gives way to one.
    The version tells by its tags which manifest names it: several may share a store.
    """
    holder = client.get_registered_model(name).aliases.get(CHAMPION)
    if simulated and holder is not None:
        # A local store gives the version as a number.
        tags = client.get_model_version(name, str(holder)).tags
        if tags.get("data") != "simulated":
            return (
                f"alias {CHAMPION} stays with version {holder}, which was not trained on "
                f"simulated data as version {version} of this run was"
            )
    if manifest is not None:
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        tags = {"manifest": str(manifest.resolve()), "manifest_sha256": digest}
        for tag, value in tags_of(tags).items():
            client.set_model_version_tag(name, version, tag, value)
    client.set_registered_model_alias(name, CHAMPION, version)
    client.update_registered_model(name, registry_text(description))
    return None
