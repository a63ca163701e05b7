"""A digest that is taken in another thread, in order, a few pieces behind what arrives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from planet_provider.transfer.digests import Hash

#: Pieces that wait to be hashed, at the most. Their memory must not be used again before.
BEHIND = 3


class BackgroundHasher:
    """Hand pieces to another thread.

    :param digest: Takes them.
    :param submit: Has a function run in a thread of its own.
    """

    def __init__(self, digest: Hash, submit: Callable[[Callable[[], None]], object]) -> None:
        self._digest = digest
        self._submit = submit
        self._change = threading.Condition()
        self._pieces: deque[bytes | memoryview] = deque()
        self._is_running = False
        self._error: BaseException | None = None

    def put(self, piece: bytes | memoryview) -> None:
        """Have a piece hashed, as soon as fewer than :data:`BEHIND` wait.

        :raises BaseException: What hashing failed with.
        """
        with self._change:
            self._change.wait_for(lambda: len(self._pieces) < BEHIND)
            self._check()
            self._pieces.append(piece)
            if self._is_running:
                return
            self._is_running = True
        self._submit(self._run)

    def wait(self) -> None:
        """Wait until all are hashed.

        :raises BaseException: What hashing failed with.
        """
        with self._change:
            self._change.wait_for(lambda: not self._pieces)
            self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._change:
                if not self._pieces:
                    self._is_running = False
                    return
                piece = self._pieces[0]
            try:
                self._digest.update(piece)
            except BaseException as error:
                self._error = error
            with self._change:
                if self._error is None:
                    self._pieces.popleft()
                else:
                    self._pieces.clear()
                self._change.notify_all()
