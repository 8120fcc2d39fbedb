"""Record closed trades from the events bus, each once: ``python -m pipelines.record``.

Ctrl-C or SIGTERM end it cleanly after the batch at hand. Exit codes: 0 all that came is recorded, 1
nothing could be (the bus or the disk gave out, or every event was refused), 2 configuration, 3 some
events were refused, 130 told a second time to end.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.command import run_command


def record(conf: Mapping[str, Any]) -> int:
    """Record until told to end; print what was recorded and what not; return the exit code."""
    from pipelines.record_run import run
    from pipelines.record_settings import record_settings

    return run(record_settings(conf))


if __name__ == "__main__":
    run_command("record", record)
