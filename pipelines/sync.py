"""Deliver to MLflow what waits on disk because the store was down: ``python -m pipelines.sync``.

Closes runs that were cut off as well. What is delivered already is not delivered again.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, run_command

ALL_DELIVERED, UNREACHABLE, SOME_LEFT = ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED


def sync(conf: Mapping[str, Any]) -> int:
    """Deliver what waits; print what was delivered and what was not; return the exit code."""
    from pipelines.sync_report import document, progress, show
    from pipelines.sync_settings import sync_settings
    from selection.atomic import write_json_atomically
    from tracking import syncing

    settings = sync_settings(conf)
    with progress(settings.format) as watch:
        report = syncing.sync(settings.uri, settings.queue, watch)
    if settings.output is not None:
        write_json_atomically(settings.output, document(settings, report))
    show(settings, report)
    if report.unreachable is not None:
        return UNREACHABLE
    left = report.set_aside or any(one.waiting or one.reason for one in report.sessions)
    return SOME_LEFT if left else ALL_DELIVERED


if __name__ == "__main__":
    run_command("sync", sync)
