"""How often a file, or a part of one, is tried."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from planet_provider.exceptions import ContentChangedError, IncompleteTransferError, LinkExpiredError
from planet_provider.redact import redact_text
from planet_provider.wording import file_size

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a file is tried. Each of these counts starts over when the file gets further than before.

    :param cuts: Cut or stalled bodies in a row.
    :param renewals: Renewed links in a row. A second refusal is not about age.
    :param restarts: Restarts because the server's answer did not fit what is here.
    :param pause_seconds: Wait after a cut body that brought nothing, in seconds; doubled each time.
    """

    cuts: int = 5
    renewals: int = 1
    restarts: int = 3
    pause_seconds: float = 0.5


class CutError(Exception):
    """The body ended in a way that may be a cut."""


class MisfitError(Exception):
    """The answer does not continue what is here."""


class RetryState:
    """Counts what went wrong since a file last got further."""

    def __init__(self, name: str, retry_policy: RetryPolicy, position: int) -> None:
        self._name = name
        self._retry_policy = retry_policy
        self._furthest = position
        self._cuts = self._expiries = self._misfits = 0

    def cut(self, error: Exception, position: int) -> float:
        """Count a cut body.

        :return: Seconds to wait before the next try.
        """
        text = redact_text(str(error))
        what = f"{type(error).__name__}: {text}" if text else type(error).__name__
        if position > self._furthest:
            self._furthest = position
            self._cuts = self._expiries = self._misfits = 0
            log.info("%s: cut after %s (%s); going on there.", self._name, file_size(position), what)
            return 0.0
        self._cuts += 1
        if self._cuts >= self._retry_policy.cuts:
            raise IncompleteTransferError(
                f"{self._name}: {self._cuts} tries in a row got no further than {file_size(self._furthest)}; "
                f"the last one: {what}. What is here is kept for the next try where that is possible.",
                file=self._name,
            ) from None
        log.info("%s: cut after %s again (%s).", self._name, file_size(position), what)
        return float(self._retry_policy.pause_seconds * 2 ** (self._cuts - 1))

    def expired(self) -> None:
        """Count an expired link."""
        self._expiries += 1
        if self._expiries > self._retry_policy.renewals:
            raise LinkExpiredError(
                f"{self._name}: the download link is refused, though it was renewed. "
                "Try again later; if it stays so, report it to Planet.",
                file=self._name,
            ) from None

    def misfit(self, error: MisfitError) -> None:
        """Count an answer that does not continue what is here."""
        self._misfits += 1
        if self._misfits > self._retry_policy.restarts:
            raise ContentChangedError(
                f"{self._name}: the source changed while it was being read, {self._misfits} times; "
                f"the last time: {error}.",
                file=self._name,
            ) from None
        log.info("%s: %s; starting over.", self._name, error)
