"""Features, events and labels as a manifest stores them, and the decisions they find in bars.

Axes: T bars, N events, F features.
"""

import inspect
import reprlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray, TimeArray
from market.build import find_events
from market.compiled import BoolArray, SignArray
from market.events import EveryBar, SmcEvents, spaced
from market.features.smc import SmcFeatures, SmcState
from market.labels import TripleBarrier

FEATURES: dict[str, type] = {"smc": SmcFeatures}
EVENTS: dict[str, type] = {"smc": SmcEvents, "every_bar": EveryBar}
LABELS: dict[str, type] = {"triple_barrier": TripleBarrier}
# More bars than any history has, and a factor of the ATR that no price reaches.
MAX_ARGUMENT = 10_000_000
MAX_BAR_LENGTH_S = 366 * 86_400


class DefinitionError(ValueError):
    """A stored definition that cannot be built here; the message is one line naming the key."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The events of one history of bars, without their labels.

    Attributes
    ----------
    t0_N : datetime64[us] array, shape (n_events,)
        Decision time, UTC: the close of the event's bar.
    direction_N : int8 array, shape (n_events,)
        +1 long, -1 short.
    x_NF : float64 array, shape (n_events, n_features)
    settled_N : bool array, shape (n_events,)
        No longer history can change the event or its row, but for rounding: False first, then
        True.
    """

    t0_N: TimeArray
    direction_N: SignArray
    x_NF: FloatArray
    settled_N: BoolArray

    def __len__(self) -> int:
        return len(self.t0_N)


@dataclass(frozen=True, slots=True)
class Definition:
    """How events and their features are made from bars.

    Attributes
    ----------
    features : SmcFeatures
    events : SmcEvents or EveryBar
    labels : TripleBarrier
        Its barriers are features too.
    bar_length : timedelta64 or None
        Length of the bars it was made for, where that is known.
    """

    features: SmcFeatures
    events: SmcEvents | EveryBar
    labels: TripleBarrier
    bar_length: np.timedelta64 | None

    def decisions(self, bars: Bars) -> Decisions:
        """Find the events of closed bars: those of `market.build.build_event_table`, exactly."""
        found = find_events(bars, features=self.features, events=self.events, labels=self.labels)
        settled_bar = max(self.features.history_bars - 1, self._same_events_from(found.state))
        return Decisions(
            bars.close_time_T[found.bar_N],
            found.direction_N,
            found.x_NF,
            found.bar_N >= settled_bar,
        )

    def _same_events_from(self, state: SmcState) -> int:
        """Return the first bar from which on any longer history has the same events.

        Which bars are too near to an event depends on that event, and so on all before it. Earlier
        bars can only shift the first one that counts, by less than the spacing: once a bar is an
        event for every such shift, all chains are one. With the declared spacing of 8 that took 89
        bars at most (16 symbols, 4,800 starts); with 48 up to 3,100; with 100 some never meet.
        """
        if isinstance(self.events, EveryBar):
            return 0
        spacing = self.events.min_spacing_bars
        bar_N, _ = _every_candidate(self.events).find(state)
        first = max(self.features.warmup_bars, self.features.structure_bars)
        # Shifts that begin at the same candidate are the same chain.
        earliest, latest = np.searchsorted(bar_N, (first, first + spacing - 1))
        shared_N = bar_N[latest:]
        for begin in range(earliest, latest + 1):
            if len(shared_N) == 0:
                return len(state)
            kept_N = spaced(bar_N[begin:], spacing)
            shared_N = shared_N[np.isin(shared_N, kept_N, assume_unique=True)]
        return int(shared_N[0]) if len(shared_N) else len(state)


def _every_candidate(events: SmcEvents) -> SmcEvents:
    return SmcEvents(
        breaks=events.breaks,
        block_touches=events.block_touches,
        gap_entries=events.gap_entries,
        min_spacing_bars=1,
    )


def definition_of(features: Mapping[str, Any], label: Mapping[str, Any]) -> Definition:
    """Build a definition from what a manifest stores.

    Parameters
    ----------
    features : mapping
        ``features`` and ``events``, each with its ``kind`` and arguments, and ``bar_length_s``
        where it is known.
    label : mapping
        ``kind`` and arguments.

    Raises
    ------
    DefinitionError
        If a kind or key is unknown here or missing, or a value is unusable.
    """
    if not isinstance(features, Mapping):
        raise DefinitionError(f"definition: must hold keys, was {reprlib.repr(features)}")
    seconds = features.get("bar_length_s")
    if seconds is not None and not (_fits(seconds, float) and 0 < seconds <= MAX_BAR_LENGTH_S):
        raise DefinitionError(
            f"bar_length_s must be in (0, {MAX_BAR_LENGTH_S}], was {reprlib.repr(seconds)}"
        )
    length = None if seconds is None else np.timedelta64(round(seconds * 1e6), "us")
    return Definition(
        features=_built("features", features.get("features"), FEATURES),
        events=_built("events", features.get("events"), EVENTS),
        labels=_built("label", label, LABELS),
        bar_length=length,
    )


def _built(part: str, stored: Any, kinds: Mapping[str, type]) -> Any:
    if not isinstance(stored, Mapping):
        raise DefinitionError(f"{part}: no definition is stored")
    name = stored.get("kind")
    if not isinstance(name, str) or name not in kinds:
        known = ", ".join(kinds)
        raise DefinitionError(f"{part}.kind: {reprlib.repr(name)} is unknown here, known: {known}")
    kind = kinds[name]
    arguments = {key: value for key, value in stored.items() if key != "kind"}
    wanted = _wanted(kind)
    for key in (*arguments, *wanted):
        if key not in wanted:
            shown = key if key.isidentifier() else reprlib.repr(key)
            raise DefinitionError(f"{part}.{shown}: is unknown here")
        if key not in arguments:
            raise DefinitionError(f"{part}.{key}: is missing")
        if not _fits(arguments[key], wanted[key]):
            raise DefinitionError(
                f"{part}.{key}: must be of type {wanted[key].__name__}, "
                f"was {reprlib.repr(arguments[key])}"
            )
        if not abs(arguments[key]) <= MAX_ARGUMENT:  # so written, it refuses NaN too
            raise DefinitionError(
                f"{part}.{key}: must be at most {MAX_ARGUMENT}, was {reprlib.repr(arguments[key])}"
            )
    try:
        return kind(**arguments)
    except ValueError as error:
        raise DefinitionError(f"{part}: {error}") from error


def _wanted(kind: type) -> dict[str, type]:
    """Return the named arguments of a constructor, and their types; none where it has none."""
    if "__init__" not in vars(kind):
        return {}
    hints = typing.get_type_hints(vars(kind)["__init__"])
    return {name: hints[name] for name in inspect.signature(kind).parameters}


def _fits(value: Any, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)
