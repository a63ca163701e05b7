"""Work in threads: whatever interrupts the caller stops it."""

from __future__ import annotations

import contextvars
import threading

import pytest

from planet_provider.transfer import parallel
from planet_provider.transfer.parallel import in_parallel
from planet_provider.transfer.progress import TransferProgress, TransferStoppedError


def test_an_interrupt_while_work_is_handed_out_stops_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, begun, stopped = TransferProgress(), threading.Event(), threading.Event()
    handed_out = 0

    class Contexts:
        @staticmethod
        def copy_context() -> contextvars.Context:
            nonlocal handed_out
            handed_out += 1
            if handed_out == 2:
                assert begun.wait(60)
                raise KeyboardInterrupt
            return contextvars.copy_context()

    def work(_: int) -> None:
        begun.set()
        try:
            watch.pause(60)
        except TransferStoppedError:
            stopped.set()
            raise

    monkeypatch.setattr(parallel, "contextvars", Contexts)
    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, range(5), threads=2, watch=watch)
    assert stopped.is_set()
