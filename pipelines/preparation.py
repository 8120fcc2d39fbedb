"""Every symbol of a run read, reported on and made ready, or the sentence why it is not."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from market.bars import DataError
from market.data_report import DataReport, event_report
from market.reading.safe_names import clipped
from market.sample_files import map_samples
from market.source import file_name, is_passing, read_symbol, source_digest
from pipelines.readings import gravest_warning, reading_lines
from pipelines.run_folder import ROWS_PREFIX
from pipelines.settings import TrainSettings
from selection.atomic import write_json_atomically
from training.prepare import Prepared, prepare

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Preparation:
    """What became of the symbols of a run.

    Attributes
    ----------
    prepared : dict of str to Prepared
        By symbol; only these are trained.
    digests : dict of str to str
        What identifies the data of each prepared symbol.
    reports : dict of str to DataReport
        Of every symbol that could be read, prepared or not.
    failed : dict of str to str
        One sentence for each of the others.
    passing : bool
        Whether the same files give other bars before long.
    """

    prepared: dict[str, Prepared] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    reports: dict[str, DataReport] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    passing: bool = False

    @contextmanager
    def rows_in_files(self, folder: Path) -> Iterator[Path]:
        """Hold the rows of all symbols in files below a folder, which workers map; yield where."""
        # Windows cannot remove files that are mapped.
        with TemporaryDirectory(prefix=ROWS_PREFIX, dir=folder, ignore_cleanup_errors=True) as rows:
            for symbol, one in self.prepared.items():
                development = map_samples(one.split.development, Path(rows) / symbol)
                split = replace(one.split, development=development)
                self.prepared[symbol] = replace(one, split=split)
            yield Path(rows)

    def write_reports(self, folder: Path) -> dict[str, Path]:
        """Write one JSON file per symbol, failed ones too; return the files."""
        files = {symbol: folder / f"{symbol}.json" for symbol in [*self.prepared, *self.failed]}
        for symbol, path in files.items():
            write_json_atomically(path, self._report(symbol))
        return files

    def _report(self, symbol: str) -> Mapping[str, Any]:
        report = self.reports.get(symbol)
        return {
            "symbol": symbol,
            "bars": report.bars if report else None,
            "events": report.events if report else None,
            "error": self.failed.get(symbol),
        }


def data_digests(settings: TrainSettings) -> dict[str, str | None]:
    """Return what identifies the data of each symbol; None for one that cannot be read."""
    digests: dict[str, str | None] = {}
    for symbol in settings.symbols:
        try:
            digests[symbol] = source_digest(settings.source, symbol, settings.seed)
        except DataError:
            digests[symbol] = None
    return digests


def prepare_symbols(settings: TrainSettings) -> Preparation:
    """Read and divide one symbol after the other; what cannot be used ends that symbol only."""
    done = Preparation()
    for symbol in settings.symbols:
        try:
            _prepare(symbol, settings, done)
        except DataError as error:
            done.failed[symbol] = str(error)
            _log.error("%s: %s", symbol, error)
    bars = (one.bars for one in done.reports.values() if one.bars is not None)
    readings = (
        (one.symbol, one.reading.format, one.bar_length) for one in bars if one.reading is not None
    )
    for line in reading_lines(readings):
        _log.info("%s", line)
    return done


def _prepare(symbol: str, settings: TrainSettings, done: Preparation) -> None:
    table, bars = read_symbol(
        settings.source,
        symbol,
        seed=settings.seed,
        features=settings.features,
        events=settings.events,
        labels=settings.labels,
    )
    done.reports[symbol] = DataReport(symbol, bars, event_report(table, labels_until=None))
    done.passing |= is_passing(bars)
    if odd := gravest_warning(bars):
        _log.warning("%s: %s", symbol, odd)
    try:
        prepared = prepare(
            table, split=settings.split, max_feature_auc=settings.training.max_feature_auc
        )
    except DataError as error:
        # What is wrong with the rows together knows nothing of where they came from.
        name = file_name(settings.source, symbol)
        raise DataError(f"{clipped(name)}: {error}" if name else str(error)) from error
    for note in prepared.notes:
        _log.warning("%s: %s", symbol, note)
    events = event_report(table, labels_until=prepared.split.development.t1_N.max())
    done.reports[symbol] = DataReport(symbol, bars, events)
    done.digests[symbol] = source_digest(settings.source, symbol, settings.seed)
    done.prepared[symbol] = prepared
