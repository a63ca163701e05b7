"""How orders end, where it isn't the configuration's ``order_outcome``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from planet_provider.sandbox.config import SandboxConfig


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How orders of some name end. Decided when an order is placed.

    :param state: See ``order_outcome`` of :class:`SandboxConfig`.
    :param name_contains: Substring of the order's name; "" is any.
    :param error_hints: Shown as the order's ``error_hints``.
    :param failed_items: Items a ``partial`` order lacks; by default its last one.
    :param times: How many orders it holds for; ``None``: all.
    """

    state: str
    name_contains: str = ""
    error_hints: Sequence[str] = ()
    failed_items: Sequence[str] = ()
    times: int | None = None

    def __post_init__(self) -> None:
        if not self.state:
            raise ValueError("state must name the state orders end in, such as 'failed'.")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be >= 1 or None (always), not {self.times!r}.")

    @classmethod
    def from_json(cls, value: Any) -> Outcome:
        """Build an outcome from its JSON form.

        :raises ValueError: Not an object, an unknown key, or a bad value.
        """
        known = {known.name for known in fields(cls)}
        if not isinstance(value, dict) or set(value) - known or "state" not in value:
            raise ValueError(f"an outcome is an object of {sorted(known)} (state is required)")
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(f"outcome {value!r}: {error}") from error


class OutcomeBoard:
    """The outcomes in force, first match first. Thread-safe."""

    def __init__(self, config: SandboxConfig) -> None:
        self._lock = threading.Lock()
        self.reset(config)

    def reset(self, config: SandboxConfig) -> None:
        """Forget every outcome added and start with a configuration's."""
        with self._lock:
            self._default = Outcome(state=config.order_outcome)
            self._rules: list[tuple[Outcome, int]] = [
                (Outcome(state=state, name_contains=name), 0) for name, state in config.order_outcomes.items()
            ]

    def add(self, outcome: Outcome | None = None, **settings: Any) -> None:
        """Add an outcome, or the one that the keywords describe; it comes before older ones."""
        with self._lock:
            self._rules.insert(0, (outcome or Outcome(**settings), 0))

    def pick(self, name: str) -> Outcome:
        """Return how an order of this name ends, and count it."""
        with self._lock:
            for index, (outcome, used) in enumerate(self._rules):
                if outcome.name_contains in name and (outcome.times is None or used < outcome.times):
                    self._rules[index] = outcome, used + 1
                    return outcome
            return self._default
