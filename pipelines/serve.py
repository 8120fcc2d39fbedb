"""Serve the predictions of a deployment manifest over HTTP: ``python -m pipelines.serve``.

Exit codes: 0 asked to end, 1 the address cannot be listened on, 2 configuration.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.command import ALL_TRAINED, run_command


def serve(conf: Mapping[str, Any]) -> int:
    """Serve until asked to end."""
    from pipelines.serve_settings import serve_settings

    settings = serve_settings(conf)

    from live.service.server import listening
    from live.service.server import serve as run
    from pipelines.serve_run import service

    listens = listening(settings.host, settings.port)
    host, port = listens.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{port}, its page on /docs", flush=True)
    run(
        service(settings).app(),
        listens,
        head_timeout_s=settings.limits.body_timeout_s,
        shutdown_s=settings.shutdown_s,
    )
    return ALL_TRAINED


if __name__ == "__main__":
    run_command("serve", serve)
