"""What makes a row of bars bad, and how that is said: place, finding, what was expected."""

import numpy as np

from market.checks.bar_report import swapped_keys
from market.reading.raw_bars import RawBars

PRICES = ("open", "high", "low", "close")
# A number outside is no price, and above it no volume: its square, or the share of it that counts
# as rounding, would be no number at all.
SMALLEST, LARGEST = 1e-100, 1e100
NOISE = 1e-9  # relative: what dividing prices kept as integers leaves behind

NO_TIME = "no time"
BAD_PRICE = "price missing or not above 0"
HIGH_BELOW_LOW = "high below low"
OUTSIDE = "open or close outside low to high"
BAD_VOLUME = "volume below 0"
SECOND_BAR = "second bar at one time"


def finding(raw: RawBars, reason: str, row: int) -> str:
    """Return where a bad row is, what was found and what was expected."""
    price = {name: float(getattr(raw, f"{name}_T")[row]) for name in PRICES}
    low_to_high = f"low {price['low']:g} to high {price['high']:g}"
    if reason == NO_TIME:
        return f"{place(raw, row, 'time')}: is empty, expected a time"
    if reason == BAD_PRICE:
        name = next(n for n, value in price.items() if not SMALLEST <= value <= LARGEST)
        wanted = f"a price above 0{_limit(price[name])}"
        return f"{place(raw, row, name)}: {price[name]:g}, expected {wanted}"
    if reason == HIGH_BELOW_LOW:
        return f"{place(raw, row, 'high')}: {price['high']!r} is below low {price['low']!r}"
    if reason == OUTSIDE:
        name = next(n for n in ("open", "close") if not _within(price, n))
        return f"{place(raw, row, name)}: {price[name]!r} lies outside {low_to_high}"
    if reason == BAD_VOLUME:
        volume = float(raw.volume_T[row])
        wanted = f"a volume of 0 or more{_limit(volume)}"
        return f"{place(raw, row, 'volume')}: {volume:g}, expected {wanted}"
    return (
        f"{place(raw, row, 'time')}: a second, different bar at {moment(raw.start_T[row])} UTC, "
        "expected one"
    )


def swapped(raw: RawBars, n_rows: int) -> str:
    """Return what is said where high is below low almost everywhere."""
    said = f"{raw.file}: high and low look swapped: high is below low in {n_rows:,} of "
    if raw.is_given:
        return f"{said}{len(raw):,} rows; give them the other way round"
    return f"{said}{len(raw):,} rows; if so set {swapped_keys(raw.format.columns, 'high', 'low')}"


def place(raw: RawBars, row: int, field: str) -> str:
    """Return how a message begins: file, row and column."""
    name = raw.format.columns.get(field, field)
    column = name if name.startswith("column ") else f"column {name}"
    return f"{raw.file}, row {raw.row_T[row]}, {column}"


def moment(time: np.datetime64) -> str:
    """Return a time to the minute, or to what it holds beyond."""
    text = str(time.astype("datetime64[us]")).replace("T", " ")
    return text[:16] if text.endswith(":00.000000") else text.removesuffix(".000000")


def _limit(value: float) -> str:
    if 0 < value < SMALLEST:
        return f", {SMALLEST:g} at least"
    return f" and up to {LARGEST:g}" if LARGEST < value < np.inf else ""


def _within(price: dict[str, float], name: str) -> bool:
    is_above = price[name] * (1 - NOISE) > price["high"]
    return not is_above and price[name] * (1 + NOISE) >= price["low"]
