"""The commands as a user starts them, and a configuration as they read it."""

import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.training.modes import LAST_LINES, assay_environment
from benchmarks.training.usage import Usage, used

if TYPE_CHECKING:
    from pipelines.settings import TrainSettings
    from training.prepare import Prepared

Conf = dict[str, Any]


class CommandError(RuntimeError):
    """A command that did not end well; the message ends with the last it said."""


def run(command: str, overrides: Sequence[str], *, cwd: Path, log: Path) -> Usage:
    """Run one of ``pipelines`` to its end; what it says goes to ``log``.

    Raises
    ------
    CommandError
        If its exit code is not 0.
    """
    for folder in (cwd, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-m", f"pipelines.{command}", *overrides]
    usage = used(line, cwd=cwd, environment=assay_environment(), log=log)
    if usage.exit_code != 0:
        said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:])
        raise CommandError(f"{command}: exit code {usage.exit_code}: {said}; all of it in {log}")
    return usage


def cpu_seconds() -> float:
    """Return what this process and the children it has waited for have used."""
    return sum(os.times()[:4])


def composed(command: str, overrides: Sequence[str]) -> Conf:
    """Return the configuration that a command would be given; the caller's own to change."""
    conf: Conf = json.loads(_composed(command, tuple(overrides)))
    return conf


def prepared_symbol(overrides: Sequence[str], symbol: str) -> "tuple[TrainSettings, Prepared]":
    """Return what ``train_all`` with these overrides is told, and a symbol as it divides it."""
    from market.source import read_symbol
    from pipelines.settings import train_settings
    from training.prepare import prepare

    settings = train_settings(composed("train_all", overrides))
    table, _ = read_symbol(
        settings.source,
        symbol,
        seed=settings.seed,
        features=settings.features,
        events=settings.events,
        labels=settings.labels,
    )
    max_auc = settings.training.max_feature_auc
    return settings, prepare(table, split=settings.split, max_feature_auc=max_auc)


@cache
def _composed(command: str, overrides: tuple[str, ...]) -> str:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        conf = compose(command, list(overrides))
    return json.dumps(OmegaConf.to_container(conf, resolve=True))
