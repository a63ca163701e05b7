"""Numbers in messages: counts with the right plural, and sizes that people can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))

#: Characters of a text of Planet's that messages and XComs hold, and how many different ones.
MAX_TEXT = 300
_MOST_TEXTS = 10


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 scene", "2 batches", "12,000 items".

    :param noun: In the singular.
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('ch', 's', 'x')) else 's'}"


def and_more(shown: Sequence[str], total: int, noun: str = "") -> str:
    """Return names with how many there are besides: "a, b and 3 more files".

    :param noun: In the singular, if it isn't clear without.
    """
    more = total - len(shown)
    text = ", ".join(shown)
    if more <= 0:
        return text
    return f"{text} and {more:,} more" + (f" {noun if more == 1 else f'{noun}s'}" if noun else "")


def file_size(number: float) -> str:
    """Return a size: "1 byte", "999 bytes", "1.2 GB"."""
    for factor, unit in _UNITS:
        # What rounds to 1000 of a unit is 1.0 of the next one.
        if number >= factor * 0.99995 and number >= 1000:
            return f"{number / factor:.1f} {unit}"
    return counted(int(number), "byte")


def grouped(texts: Iterable[str]) -> list[str]:
    """Return texts without repetition, shortened, at most some ten of them, the most frequent first."""
    counts = Counter(texts).most_common()
    shown = []
    for text, number in counts[:_MOST_TEXTS]:
        short = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
        shown.append(short if number == 1 else f"{short.rstrip('.')} ({number:,} times)")
    if len(counts) > _MOST_TEXTS:
        shown.append(f"and {len(counts) - _MOST_TEXTS:,} more")
    return shown
