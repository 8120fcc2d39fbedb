"""What Prometheus is told."""

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "assay_requests", "Requests answered", ["operation", "status"], registry=registry
        )
        self._seconds = Histogram(
            "assay_request_seconds",
            "From the first byte of a request's body to its answer",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._signals = Counter(
            "assay_signals", "Signals given", ["symbol", "action"], registry=registry
        )
        self._decisions = Counter("assay_exit_decisions", "Exits decided", registry=registry)
        self._info = Gauge(
            "assay_loaded_info", "1 for what is served", ["what", "sha256"], registry=registry
        )
        self._loads = Counter(
            "assay_loads",
            "Manifests and exit models taken or refused",
            ["what", "result"],
            registry=registry,
        )
        self._refusing = Gauge(
            "assay_refusing", "1 while what lies on disk is refused", ["what"], registry=registry
        )
        self._waiting = Gauge("assay_waiting", "Requests in the threads", registry=registry)
        self._kept: dict[tuple[str, ...], Any] = {}
        self._digests: dict[str, str] = {}

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._labelled(self._requests, operation, str(status)).inc()
        self._labelled(self._seconds, operation).observe(seconds)

    def signals(self, symbol: str, signals: list[Mapping[str, Any]]) -> None:
        """Count what a symbol's model said."""
        for one in signals:
            self._labelled(self._signals, symbol, one["action"]).inc()

    def decided(self, n_rows: int) -> None:
        """Count exit decisions."""
        self._decisions.inc(n_rows)

    def loaded(self, what: str, sha256: str) -> None:
        """Say what is served from now on."""
        before = self._digests.get(what)
        if before is not None and before != sha256:
            self._info.remove(what, before)
        self._digests[what] = sha256
        self._info.labels(what, sha256).set(1)
        self._loads.labels(what, "taken").inc()

    def refusing(self, what: str, *, refusing: bool) -> None:
        """Say whether what lies on disk is refused."""
        self._refusing.labels(what).set(refusing)
        if refusing:
            self._loads.labels(what, "refused").inc()

    def waiting(self, n_requests: int) -> None:
        """Say how many requests the threads have."""
        self._waiting.set(n_requests)

    def page(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        page: bytes = generate_latest(self._registry)
        return page

    def _labelled(self, metric: Any, *labels: str) -> Any:
        # Looking one up by its labels takes longer than counting.
        key = (metric._name, *labels)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = metric.labels(*labels)
        return found
