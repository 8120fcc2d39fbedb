"""Exits by what was learnt: the ladder of a backtest, and when its learning ends."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from exits import ladder
from exits.exit_model import ExitModel, ExitModelError, load_exit_model
from exits.exploring import Exploring
from exits.ladder import (
    LOCAL,
    SIMPLE,
    Ladder,
    LadderError,
    LocalNeuralNetwork,
    Rung,
    TableDefaults,
    Unavailable,
)
from exits.policy import Defaults, ExitPolicy
from exits.simple_learning import SimpleLearning, SimpleRung
from exits.simple_learning_file import FILE, SimpleLearningError, load_simple
from pipelines.backtest_exits import Barriers, Variation, checked_ticks, exit_settings
from pipelines.command import ConfigError
from pipelines.run_digest import sha256_of

# Of one moment: their mean is what its state called for.
FEWEST_DRAWS: Final = 5


@dataclass(frozen=True, slots=True)
class Opened:
    """What was learnt as its files hold it; a text is why there is none.

    Attributes
    ----------
    model : ExitModel or str
    simple : SimpleLearning or str
    """

    model: ExitModel | str
    simple: SimpleLearning | str

    @classmethod
    def of(cls, folder: Path) -> "Opened":
        """Read a folder as `train_exits` leaves it."""
        model: ExitModel | str
        simple: SimpleLearning | str
        try:
            model = load_exit_model(folder)
        except ExitModelError as error:
            model = str(error)
        try:
            simple = load_simple(folder / FILE)
        except SimpleLearningError as error:
            simple = str(error)
        return cls(model, simple)

    def rungs(self) -> list[Rung]:
        """Return the rungs of a backtest's ladder."""
        model, simple = self.model, self.simple
        return [
            Unavailable(LOCAL, model) if isinstance(model, str) else LocalNeuralNetwork(model),
            Unavailable(SIMPLE, simple) if isinstance(simple, str) else SimpleRung(simple),
            TableDefaults(),
        ]

    @property
    def learnt_until(self) -> np.datetime64 | None:
        """The last exit of a trade that any of it was learnt from; None where nothing was."""
        known = []
        if isinstance(self.model, ExitModel):
            known.append(self.model.trained_until)
        if isinstance(self.simple, SimpleLearning) and not np.isnat(self.simple.learnt_until):
            known.append(self.simple.learnt_until)
        return max(known, default=None)


class LearnedExits:
    """What was learnt, rung by rung; opened when it is asked for, as that reads files."""

    def __init__(
        self,
        *,
        model: str,
        require: Literal["local_neural_network", "simple_learning"] | None,
        explore: float,
        vary: float,
        together: float,
        fixed: list[str],
        draws: int,
        parameters: dict[str, float],
        tick_size: dict[str, float],
        tick_atr: float,
        minutes_per_bar: float | None,
        min_share: float,
        friday_late_hour: int,
        sessions: list[str],
    ) -> None:
        if not model.strip():
            raise ValueError("model must name the folder of an exit model, was empty")
        Defaults(parameters)
        self.folder, self.require = Path(model), require
        self.variation = Variation(explore, vary, together, fixed, draws)
        if self.variation.explore and draws < FEWEST_DRAWS:
            raise ValueError(
                f"draws must be at least {FEWEST_DRAWS} where what was learnt is varied, was "
                f"{draws}: what was drawn could not be told from what the state called for"
            )
        self.draws = draws
        self.parameters = parameters
        self.tick_size = checked_ticks(tick_size)
        self.settings = exit_settings(
            tick_atr, minutes_per_bar, min_share, friday_late_hour, sessions
        )
        self._opened: Opened | None = None
        self._asked_first: list[Rung] = []

    @property
    def opened(self) -> Opened:
        """What was learnt, read once."""
        if self._opened is None:
            self._opened = Opened.of(self.folder)
        return self._opened

    def check(self) -> None:
        """Raise ConfigError where no model can lie, or the rung that must answer cannot."""
        if self.folder.is_file():
            raise ConfigError(f"exits.model: {self.folder} is a file; name the folder it lies in")
        with required():
            self.ladder()

    def ladder(self) -> Ladder:
        """Return a new ladder; raises LadderError as it does."""
        rungs = [*self._asked_first, *self.opened.rungs()]
        return Ladder(rungs, require=self.require, parameters=self.parameters)

    def ask_first(self, rung: Rung) -> None:
        """Put a rung before all others: live, the prediction service."""
        self._asked_first = [rung]

    def policy(self, seed: int, barriers: Barriers | None, draw: int = 0) -> ExitPolicy:
        """Return the ladder, or what varies its answers."""
        del barriers
        return self.variation.around(self.ladder(), seed, draw)

    @property
    def simulated(self) -> bool | None:
        """Whether the experiences were of a simulated market; None where nothing says."""
        model = self.opened.model
        said = model.facts.get("simulated") if isinstance(model, ExitModel) else None
        return said if isinstance(said, bool) else None

    @property
    def digest(self) -> list[str | None]:
        """What identifies all that was learnt."""
        model = self.opened.model
        known = model.digest if isinstance(model, ExitModel) else model
        return [known, sha256_of(self.folder / FILE)]


@contextmanager
def required() -> Iterator[None]:
    """Turn a fall from the rung that must answer into the one line of a command."""
    try:
        yield
    except LadderError as error:
        raise ConfigError(str(error)) from error


@contextmanager
def falls_logged_once() -> Iterator[None]:
    """Log each cause of a fall once, however many ladders a run builds."""
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        n_before = len(told)
        told.add(record.getMessage())
        return len(told) > n_before

    log = logging.getLogger(ladder.__name__)
    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def falls_of(policy: ExitPolicy) -> Mapping[str, int]:
    """Return how many decisions a policy's rungs could not make, by cause."""
    asked = policy.base if isinstance(policy, Exploring) else policy
    return asked.falls if isinstance(asked, Ladder) else {}
