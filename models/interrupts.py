"""Interrupts that must not come in the middle of something."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_after() -> Iterator[None]:
    """Raise interrupts that come in the block at its end only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    held = {one: handler for one, handler in before.items() if callable(handler)}
    for one in held:
        signal.signal(one, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for one, handler in held.items():
            signal.signal(one, handler)
        if came:
            held[signal.Signals(came[0][0])](*came[0])
