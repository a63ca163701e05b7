"""What an error means to a request whose earlier answer was lost."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from planet_provider.client.call import Call
from planet_provider.exceptions import (
    NotFoundError,
    PlanetError,
    ServerError,
    TransportError,
)

T = TypeVar("T")


class Attempts(Generic[T]):
    """Remembers, over the attempts of one call, whether it may have been carried out unseen.

    :param call: What is sent.
    """

    def __init__(self, call: Call[T]) -> None:
        self._call = call
        self._lost = False

    def settled(self, error: PlanetError) -> tuple[T, Any]:
        """Return what an attempt's error stands for, or raise it.

        :param error: What the attempt raised.
        :return: The parsed result and the decoded body of an answer that would have had none.
        """
        if self._lost and self._call.not_found_is_success and isinstance(error, NotFoundError):
            return self._call.parse(None), None
        if isinstance(error, ServerError) or (isinstance(error, TransportError) and error.sent):
            self._lost = True
        raise error
