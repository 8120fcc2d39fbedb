"""The rows of the bench: the last labelled events of eleven symbols, real or simulated."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from market.data_files import file_digest

# A simulated market long enough: every 15th bar is an event, about.
SIMULATED_BARS = 40_000
TOLD = "made.json"


class TooFewRowsError(ValueError):
    """A symbol has fewer labelled events than the bench wants."""


def written(folder: Path, *, bars: str | None, n_symbols: int, n_rows: int) -> Mapping[str, str]:
    """Write the tables where they are missing; return the SHA-256 of each symbol's.

    Features, events and labels are made as ``conf/`` says; of the labelled events the latest
    ``n_rows`` are kept.

    Parameters
    ----------
    bars : str or None
        Folder of price files; None simulates.
    n_symbols : int
        The first so many of ``conf/experiment/fx_h1.yaml``.

    Raises
    ------
    TooFewRowsError
        If a symbol has fewer labelled events.
    """
    wanted = {"bars": bars, "symbols": n_symbols, "rows": n_rows}
    told = folder / TOLD
    if told.exists() and json.loads(told.read_text()) == wanted:
        return digests(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.parquet"):
        path.unlink()
    _write(folder, _settings(bars), n_symbols, n_rows)
    told.write_text(json.dumps(wanted))
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each symbol's table."""
    return {path.stem: file_digest(path) for path in sorted(folder.glob("*.parquet"))}


def _settings(bars: str | None) -> Any:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF
    from pipelines.settings import train_settings

    if bars is None:
        overrides = [f"data.n_bars={SIMULATED_BARS}"]
    else:
        overrides = ["experiment=fx_h1", f"data.dir={bars}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train_all", [*overrides, "tracking=none"])
    conf: Any = OmegaConf.to_container(composed, resolve=True)
    return train_settings(conf)


def _write(folder: Path, settings: Any, n_symbols: int, n_rows: int) -> None:
    from market.source import read_symbol
    from selection.atomic import write_bytes_atomically

    for symbol in settings.symbols[:n_symbols]:
        table, _ = read_symbol(
            settings.source,
            symbol,
            seed=settings.seed,
            features=settings.features,
            events=settings.events,
            labels=settings.labels,
        )
        frame = table.to_frame()
        labelled = frame.filter(frame["label"].is_not_null())
        if len(labelled) < n_rows:
            raise TooFewRowsError(
                f"{symbol}: {len(labelled)} labelled events, expected at least {n_rows}; give "
                "longer price files, or --rows"
            )
        content = io.BytesIO()
        labelled.tail(n_rows).write_parquet(content)
        write_bytes_atomically(folder / f"{symbol}.parquet", content.getvalue())


def place(out: Path, *, bars: str | None, n_symbols: int, n_rows: int) -> Path:
    """Return the folder for these tables."""
    named = json.dumps([bars, n_symbols, n_rows])
    return out / "tables" / hashlib.sha256(named.encode()).hexdigest()[:8]
