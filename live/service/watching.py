"""What is served is what lies on disk: looked at again and again, swapped whole or not at all."""

import logging
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from live.alerts import Alert, Alerts
from live.service.metrics import Metrics
from market.reading.safe_names import printable

REFUSING: Final = "service_refusing"
# A manifest that is refused may be waiting for its files: it is tried again, ever less often.
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 60.0

logger = logging.getLogger(__name__)


class HasDigest(Protocol):
    """What can be served."""

    @property
    def digest(self) -> str:
        """Of the file that names all others."""
        ...


Loaded = TypeVar("Loaded", bound=HasDigest)


class Watched(Generic[Loaded]):
    """A manifest or an exit model that is loaded anew whenever its file changes.

    Whoever takes `current` keeps what he has, whatever comes after: nothing in it ever changes.

    Parameters
    ----------
    name : str
        ``manifest`` or ``exits``, in messages and metrics.
    digest : callable
        Of the file as it is now.
    load : callable
        Returns it opened and tried out; raises what cannot be served.
    metrics : Metrics
    alerts : Alerts
    loaded : callable
        Told of each that takes its place.
    clock : callable
        Seconds, never backwards.

    Attributes
    ----------
    current : Loaded or None
        What is answered with.
    refusal : str or None
        Why what lies on disk is not it.
    """

    def __init__(
        self,
        name: str,
        *,
        digest: Callable[[], str],
        load: Callable[[], Loaded],
        metrics: Metrics,
        alerts: Alerts,
        loaded: Callable[[Loaded], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.current: Loaded | None = None
        self.refusal: str | None = None
        self._digest, self._load, self._loaded = digest, load, loaded
        self._metrics, self._alerts, self._clock = metrics, alerts, clock
        self._refused_digest: str | None = None
        self._retry_at, self._pause_s = 0.0, _FIRST_RETRY_S

    def look(self) -> bool:
        """Load what is new; return whether it took its place. Called by one thread at a time."""
        found: str | None = None
        try:
            found = self._digest()
            if self.current is not None and found == self.current.digest:
                self._accept()
                return False
            if found == self._refused_digest and self._clock() < self._retry_at:
                return False
            loaded = self._load()
        # The one boundary: whatever is wrong with a file, those who ask are answered as before.
        except Exception as error:  # noqa: BLE001
            self._refuse(found, error)
            return False
        self.current = loaded
        self._accept()
        self._metrics.loaded(self.name, loaded.digest)
        logger.info("%s %s is served", self.name, loaded.digest[:12])
        self._loaded(loaded)
        return True

    def _accept(self) -> None:
        self.refusal = self._refused_digest = None
        self._pause_s = _FIRST_RETRY_S
        self._metrics.refusing(self.name, refusing=False)

    def _refuse(self, digest: str | None, error: Exception) -> None:
        known = isinstance(error, ValueError | OSError)
        said = (
            printable(str(error)) if known else f"{type(error).__name__}: {printable(str(error))}"
        )
        if digest == self._refused_digest:
            self._pause_s = min(2 * self._pause_s, _LAST_RETRY_S)
        else:
            self._pause_s = _FIRST_RETRY_S
        self._refused_digest, self._retry_at = digest, self._clock() + self._pause_s
        if said == self.refusal:
            return
        self.refusal = said
        self._metrics.refusing(self.name, refusing=True)
        kept = "nothing is served" if self.current is None else "the one before is served on"
        text = f"{self.name} is refused, {kept}: {said}"
        logger.error("%s", text)
        serving = "none" if self.current is None else self.current.digest
        facts = {"what": self.name, "serving": serving}
        self._alerts.send(Alert(REFUSING, text, facts=facts))
