"""What a watch of the catalogue remembers: how far it got, and what it told of lately."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from planet_provider.builders import checks
from planet_provider.exceptions import UnexpectedResponseError

Batch = dict[str, Any]


def moment(value: object) -> datetime:
    """Read a time that Planet or a user gave.

    :raises UnexpectedResponseError: It is none, or has no offset.
    """
    try:
        return datetime.fromisoformat(checks.utc_datetime(value, "published").replace("Z", "+00:00"))
    except ValueError as error:
        raise UnexpectedResponseError(f"A time of publication can't be understood: {error}") from None


def stamp(value: datetime) -> str:
    """Write a time as RFC 3339, in UTC."""
    return checks.utc_datetime(value, "published")


@dataclass
class ImageryState:
    """How far a watch got.

    :param since: What was published before is of no interest, or not remembered any more.
    :param watermark: Until when all was told of that the search knew.
    :param seen: What was told of and lies within the overlap: ``{"item_type", "item_ids", "published_to"}``.
    :param pending: Batches that are to be told of, or may not have arrived.
    :param server_time: The server's clock at the latest look, if it is known. It isn't kept.
    """

    since: datetime
    watermark: datetime
    seen: list[Batch] = field(default_factory=list)
    pending: list[Batch] = field(default_factory=list)
    server_time: datetime | None = None

    def begin(self, overlap: timedelta) -> datetime:
        """Return from which time of publication on to look.

        :param overlap: How far to go back behind the watermark.
        """
        return self.watermark - min(overlap, self.watermark - self.since)

    def known(self) -> set[tuple[str, str]]:
        """Return the type and id of the item that was reported."""
        return {(batch["item_type"], item_id) for batch in self.seen for item_id in batch["item_ids"]}

    def told(self, overlap: timedelta) -> None:
        """Take note that the pending batches have been told of, and forget what no look will find again.

        :param overlap: How far looks go back behind the watermark.
        """
        latest = max(moment(batch["published_to"]) for batch in self.pending)
        # An item from the future must not hide what is published until then.
        self.watermark = max(self.watermark, min(latest, self.server_time or datetime.now(timezone.utc)))
        self.seen += [
            {name: batch[name] for name in ("item_type", "item_ids", "published_to")}
            for batch in self.pending
        ]
        self.pending = []
        # Looks never go back behind what is remembered, not even where the overlap grows.
        self.since = self.begin(overlap)
        self.seen = [batch for batch in self.seen if moment(batch["published_to"]) >= self.since]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "since": stamp(self.since),
            "watermark": stamp(self.watermark),
            "seen": self.seen,
            "pending": self.pending,
        }

    @classmethod
    def from_json(cls, value: Any) -> ImageryState:
        """Read what :meth:`to_json` wrote.

        :raises KeyError, TypeError, ValueError: It is something else.
        """
        state = cls(
            since=datetime.fromisoformat(value["since"].replace("Z", "+00:00")),
            watermark=datetime.fromisoformat(value["watermark"].replace("Z", "+00:00")),
            seen=[dict(batch) for batch in value["seen"]],
            pending=[dict(batch) for batch in value["pending"]],
        )
        for batch in (*state.seen, *state.pending):
            if not isinstance(batch["item_type"], str) or not isinstance(batch["item_ids"], list):
                raise TypeError("a batch has an item_type and a list of item_ids")
            datetime.fromisoformat(batch["published_to"].replace("Z", "+00:00"))
        for batch in state.pending:
            _ = batch["published_from"], batch["count"]
        return state
