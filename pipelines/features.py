"""Write features, labels and label ends of every event: ``python -m pipelines.features``.

One Parquet file per symbol with the columns timestamp, the features, label, label_end and weight.
Reading the folder back with ``data=table`` trains on the same rows.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, run_command

if TYPE_CHECKING:
    from market.event_table import EventTable


def write_features(conf: Mapping[str, Any]) -> int:
    """Write one table per symbol; a symbol that cannot be read is named and passed over."""
    from market.bars import DataError
    from market.source import read_symbol
    from pipelines.readings import gravest_warning
    from pipelines.settings import feature_settings
    from pipelines.writable import writable_folder

    settings = feature_settings(conf)
    writable_folder("features_dir", settings.features_dir)
    written = 0
    for symbol in settings.symbols:
        start_s = time.monotonic()
        try:
            table, bars = read_symbol(
                settings.source,
                symbol,
                seed=settings.seed,
                features=settings.features,
                events=settings.events,
                labels=settings.labels,
            )
        except DataError as error:
            print(f"{symbol}: {error}", file=sys.stderr)
            continue
        if odd := gravest_warning(bars):
            print(f"{symbol}: {odd}", file=sys.stderr)
        path = settings.features_dir / f"{symbol}.parquet"
        _write(table, path)
        written += 1
        print(f"{symbol}: {_described(table)}, {time.monotonic() - start_s:.1f} s -> {path}")
    if written == len(settings.symbols):
        return ALL_TRAINED
    return SOME_FAILED if written else NOTHING_TRAINED


def _write(table: "EventTable", path: Path) -> None:
    import io

    from selection.atomic import write_bytes_atomically

    content = io.BytesIO()
    table.to_frame().write_parquet(content)
    write_bytes_atomically(path, content.getvalue())


def _described(table: "EventTable") -> str:
    decided = table.label_N[table.label_N >= 0]
    share = f", {decided.mean():.1%} win" if len(decided) else ""
    return f"{len(table)} events, {len(decided)} decided{share}"


if __name__ == "__main__":
    run_command("features", write_features)
