"""What a service bears, and from whom; knows nothing of the web."""

from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service bears.

    Attributes
    ----------
    most_body_bytes : int
    body_timeout_s : float
        From the first byte of a body to its last, and of a head.
    threads : int
        That answer what takes milliseconds.
    most_waiting : int
        Requests that the threads have or that wait for one; further ones are told to come back.
    poll_s : float
        Between two looks at what lies on disk.
    """

    most_body_bytes: int
    body_timeout_s: float
    threads: int
    most_waiting: int
    poll_s: float


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own, which no other can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
