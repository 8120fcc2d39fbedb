"""Removes what a store made twice: it did as asked, the answer was lost, and it was asked again."""

from tracking.found import Found, FoundRun
from tracking.store import Store


def remove_surplus(store: Store, found: Found, session: str, parent_id: str) -> list[str]:
    """Delete a session's runs, models and versions that stand beside another of the same.

    What was logged in full stays, and of what was not, the latest. Returns the ids of the runs
    that were deleted.
    """
    client = store.client
    runs = [run for run in found.parents if run.session == session and run.run_id != parent_id]
    for key, children in found.children.items():
        kept = (
            found.complete(key, failed=False)
            or found.complete(key, failed=True)
            or found.cut_off(key)
        )
        runs += [run for run in children if _is_surplus(run, kept, session)]
    for run in runs:
        client.delete_run(run.run_id)
    deleted = {run.run_id for run in runs}
    for run_id, models in found.models.items():
        for model in models if run_id in deleted else models[1:]:
            client.delete_logged_model(model.model_id)
    for run_id, versions in found.versions.items():
        for version in versions if run_id in deleted else versions[1:]:
            client.delete_model_version(version.name, version.number)
    return list(deleted)


def _is_surplus(run: FoundRun, kept: FoundRun | None, session: str) -> bool:
    other = kept is not None and run.run_id != kept.run_id
    return other and run.session == session and not run.complete
