"""See and change what is live: ``python -m pipelines.deploy verify|promote|rollback|diff|history``.

Exit codes: 0 all is as it should be, or is done; 1 refused, nothing changed; 2 configuration; 3
some symbols failed, or the manifest is live and the registry's alias could not follow.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError, run_command
from pipelines.deploy_settings import DeploySettings, Order, deploy_settings, split_arguments

if TYPE_CHECKING:
    from selection.promotion import Swapped


def deploy(conf: Mapping[str, Any], order: Order) -> int:
    """Do what the first word says; return the exit code."""
    from pipelines.deploy_display import complain

    settings = deploy_settings(conf, order)
    commands: dict[str, Callable[..., int]] = {
        "verify": verify,
        "promote": promote,
        "rollback": rollback,
        "diff": diff,
        "history": history,
    }
    try:
        return commands[order.command](settings, *order.words)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        complain(str(error))
        return NOTHING_TRAINED


def verify(settings: DeploySettings) -> int:
    """Check the manifest, its signature if there is a key, and every file it names."""
    from pipelines.deploy_display import show_verified
    from selection.deployed_files import manifest_bytes, parsed_manifest
    from selection.live_manifest import sha256_of
    from selection.signing import signature_name

    path = settings.manifest
    _check_there(settings)
    content = manifest_bytes(path, public_key=settings.public_key)
    manifest = parsed_manifest(path, content)
    symbols = {
        symbol: _verified(path.parent, symbol, selection)
        for symbol, selection in manifest["selections"].items()
    }
    document = {
        "manifest": path,
        "sha256": sha256_of(content),
        "has_signature": (path.parent / signature_name(content)).exists(),
        "signed_by": settings.public_key,
        "symbols": symbols,
    }
    show_verified(document, form=settings.format, output=settings.output)
    verdicts = [one["verified"] for one in symbols.values() if one["verified"] is not None]
    if all(verdicts):
        return ALL_TRAINED
    return SOME_FAILED if any(verdicts) else NOTHING_TRAINED


def _verified(folder: Path, symbol: str, selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is found of one symbol's files; ``verified`` is None where there is no model."""
    from selection.deployed_files import refusals
    from selection.stored_predictions import PREDICTIONS, prediction_refusals

    if selection["selected_model"] is None:
        return {"model": None, "files": 0, "bytes": 0, "verified": None, "refused": []}
    predictions = selection.get(PREDICTIONS)
    files = [*selection.get("artifacts", []), *([predictions] if predictions else [])]
    refused = refusals(folder, symbol, selection) + prediction_refusals(folder, symbol, selection)
    return {
        "model": selection["selected_model"],
        "files": len(files),
        "bytes": sum(one["bytes"] for one in files),
        "verified": not refused,
        "refused": refused,
    }


def promote(settings: DeploySettings, source: str) -> int:
    """Make a manifest that was trained elsewhere the live one."""
    from selection import promotion

    swapped = promotion.promote(
        Path(source),
        settings.manifest,
        reason=settings.reason,
        public_key=settings.public_key,
        now_utc=datetime.now(UTC),
    )
    return _told(settings, "promote", swapped)


def rollback(settings: DeploySettings, to: str | None = None) -> int:
    """Make an earlier manifest live again."""
    from selection import promotion

    _check_there(settings)
    swapped = promotion.roll_back(
        settings.manifest,
        to,
        reason=settings.reason,
        public_key=settings.public_key,
        now_utc=datetime.now(UTC),
    )
    return _told(settings, "rollback", swapped)


def diff(settings: DeploySettings, *names: str) -> int:
    """Say what changed between two manifests: the one before and the live one, unless named."""
    from pipelines.deploy_display import show_differences
    from selection.manifest_diff import differences
    from selection.promotion import LIVE, named

    _check_there(settings)
    before = names[0] if names else None
    after = names[1] if len(names) > 1 else LIVE
    was, was_name = named(settings.manifest, before)
    now, now_name = named(settings.manifest, after)
    document = {"before": was_name, "after": now_name, "symbols": differences(was, now)}
    show_differences(document, form=settings.format, output=settings.output)
    return ALL_TRAINED


def history(settings: DeploySettings) -> int:
    """Show what was live when, and why."""
    from pipelines.deploy_display import show_history
    from selection.deploy_history import read_history

    show_history(read_history(settings.manifest), form=settings.format, output=settings.output)
    return ALL_TRAINED


def _check_there(settings: DeploySettings) -> None:
    if not settings.manifest.exists() and not settings.manifest.is_symlink():
        raise ConfigError(
            f"manifest: {settings.manifest}: no such manifest; train first, or give the path of one"
        )


def _told(settings: DeploySettings, action: str, swapped: "Swapped") -> int:
    """Let the registry's alias follow, and say what was done."""
    from pipelines.deploy_display import show_swapped

    notes, moved, followed = _moved_alias(settings, swapped)
    notes = [f"{one} (trading live does not need it)" for one in swapped.warnings] + notes
    document = {
        "action": action,
        "manifest": settings.manifest,
        "sha256": swapped.sha256,
        "replaced_sha256": swapped.replaced_sha256,
        "champions": moved,
        "notes": notes,
        "tracking_failure": settings.tracker.failure,
    }
    show_swapped(document, form=settings.format, output=settings.output)
    return SOME_FAILED if settings.tracker.failure or not followed else ALL_TRAINED


def _moved_alias(
    settings: DeploySettings, swapped: "Swapped"
) -> tuple[list[str], dict[str, str], bool]:
    """Point the registry's champions at the models that are live.

    Returns
    -------
    notes : list of str
    moved : dict
        Versions by symbol.
    followed : bool
        Whether the manifest names a version of every model that is live, or there never was one
        to follow.
    """
    from pipelines.descriptions import registered_page
    from tracking.tracker import NoTracker

    if isinstance(settings.tracker, NoTracker):
        return [], {}, True
    replaced = _replaced(settings, swapped)
    if replaced and not any(map(_names_versions, (replaced, swapped.manifest["selections"]))):
        # Trained without a registry, and so was what it replaces: there is no alias to follow.
        return [], {}, True
    # What nobody knows the data of never takes the alias from a model of real data.
    simulated = swapped.manifest.get("provenance", {}).get("simulated") is not False
    notes, moved, unnamed = _of_retired(swapped, replaced), {}, []
    tracker = settings.tracker
    for symbol, selection in swapped.manifest["selections"].items():
        if selection["selected_model"] is None:
            continue
        version = selection.get("model_version")
        if version is None:
            unnamed.append(symbol)
            continue
        kept = tracker.promote(
            symbol,
            str(version),
            simulated=simulated,
            description=registered_page(symbol, settings.manifest),
            manifest=settings.manifest,
        )
        if kept is not None:
            notes.append(f"{symbol}: {kept}")
        elif tracker.failure is None and not tracker.waiting:
            moved[symbol] = str(version)
    tracker.close()
    if unnamed:
        notes.append(
            f"the manifest names no registered version of {', '.join(unnamed)} (model_version): "
            "the registry's alias could not follow and stays where it is"
        )
    return notes, moved, not unnamed


def _replaced(settings: DeploySettings, swapped: "Swapped") -> Mapping[str, Any]:
    """Return the selections of what was live before; none where it is kept no more."""
    from selection.deployed_files import DeploymentError
    from selection.promotion import named

    if swapped.replaced_sha256 is None:
        return {}
    try:
        before, _ = named(settings.manifest, swapped.replaced_sha256)
    except (DeploymentError, OSError):
        return {}
    found: Mapping[str, Any] = before["selections"]
    return found


def _names_versions(selections: Mapping[str, Any]) -> bool:
    return any(one.get("model_version") is not None for one in selections.values())


def _of_retired(swapped: "Swapped", replaced: Mapping[str, Any]) -> list[str]:
    """Return a note on the symbols that had a model and have none now.

    Their alias stays, as training leaves it where nothing is selected: a deployer goes by the
    manifest.
    """
    selections = swapped.manifest["selections"]
    retired = {name for name, one in selections.items() if one["selected_model"] is None}
    retired |= {name for name, one in replaced.items() if one["selected_model"]} - set(selections)
    if not retired:
        return []
    return [
        f"the manifest has no model of {', '.join(sorted(retired))}: the registry's alias stays "
        "where it is; take it away by hand if something loads models by it"
    ]


if __name__ == "__main__":
    given, sys.argv[1:] = split_arguments(sys.argv[1:])
    run_command("deploy", partial(deploy, order=given))
