"""What a person sees of a run when it has ended, and whenever the same command is given again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import outcome
from pipelines.command import NOTHING_TRAINED
from pipelines.console import console
from pipelines.run_digest import sha256_of
from pipelines.run_folder import RunFolder
from pipelines.settings import TrainSettings

DIGEST_CHARS = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Attributes
    ----------
    folder : Path
    results, selections : mapping
        By symbol, results by model below it.
    cost : mapping
        As `RunCost.measured` gives it.
    code : int
        The exit code.
    """

    folder: Path
    results: Mapping[str, Mapping[str, Any]]
    selections: Mapping[str, Any]
    cost: Mapping[str, Any]
    code: int

    def show(self, settings: TrainSettings, *, simulated: bool) -> None:
        """Print its tables, and where everything is."""
        if self.results:
            outcome.show(console(), self.results, self.selections, simulated=simulated)
            outcome.show_cost(console(), self.cost)
        written = self.code != NOTHING_TRAINED
        manifest = settings.manifest_path if written else "not written: nothing was trained"
        console().print(f"results   {self.folder}", markup=False, soft_wrap=True)
        console().print(f"manifest  {manifest}", markup=False, soft_wrap=True)
        if settings.tracker.failure:
            failure = f"tracking  {settings.tracker.failure}"
            console().print(failure, markup=False, soft_wrap=True)


def shown_again(run_folder: RunFolder, settings: TrainSettings, *, simulated: bool) -> int | None:
    """Show a run that has ended as it was shown then; None where there is something to do."""
    models = [model.name for model in (*settings.models, *settings.null_models)]
    found = run_folder.ended_before(settings.symbols, models)
    if found is None:
        return None
    results, selections, record = found
    digest, path = record["manifest_sha256"], settings.manifest_path
    if digest is not None and not path.is_file():
        return None
    _log.info("this run ended at %s; resume=false runs it anew", record["ended"])
    code = int(record["exit_code"])
    ended = Ended(run_folder.folder, results, selections, record["timings"], code)
    ended.show(settings, simulated=simulated)
    if digest is not None and sha256_of(path) != digest:
        back = f"python -m pipelines.deploy rollback {digest[:DIGEST_CHARS]} manifest={path}"
        _log.warning("%s is another run's by now; %s brings this one's back", path, back)
    return code
