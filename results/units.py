"""Times as people read them."""

from __future__ import annotations

_UNITS_NS = (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))


def format_time(nanoseconds: float) -> str:
    """Return a time with up to three significant digits and its unit: 54.1 us (with the Greek letter), 66 ms, 1.2 s."""
    if not nanoseconds:
        return "0 s"
    unit, scale = next(
        ((unit, scale) for unit, scale in _UNITS_NS if abs(nanoseconds) < 999.5 * scale), _UNITS_NS[-1]
    )
    value = nanoseconds / scale
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} {unit}"
