"""How a transfer counts, tells and stops."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from planet_provider.transfer.parallel import in_parallel
from planet_provider.transfer.progress import (
    Progress,
    TransferProgress,
    TransferStoppedError,
    log_progress,
)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (
            Progress(3, 8, 12_400_000, 80_100_000, 2.0),
            "3 of 8 files, 12.4 MB of 80.1 MB, 6.2 MB/s, 11 s left",
        ),
        (Progress(0, 8, 0, 80_100_000, 2.0), "0 of 8 files, 0 bytes of 80.1 MB, 0 bytes/s"),
        (Progress(8, 8, 500, 500, 1.0), "8 of 8 files, 500 bytes of 500 bytes, 500 bytes/s, in 1 s"),
        (Progress(1, 2, 4_000, 8_000, 1.0, 3_000), "1 of 2 files, 4.0 kB of 8.0 kB, 1.0 kB/s, 4 s left"),
        (Progress(1, 2, 10**9, 10**12, 10.0), "1 of 2 files, 1.0 GB of 1.0 TB, 100.0 MB/s, 2 h 46 min left"),
        (
            Progress(1, 2, 10**6, 2 * 10**8, 1.0),
            "1 of 2 files, 1.0 MB of 200.0 MB, 1.0 MB/s, 3 min 19 s left",
        ),
    ],
)
def test_a_line_tells_files_bytes_speed_and_time_left(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_lines_are_logged_at_intervals_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    tell = log_progress(logging.getLogger("transfer.test"), interval=3600.0)
    with caplog.at_level(logging.INFO, "transfer.test"):
        tell(Progress(0, 2, 0, 10, 1.0))
        assert caplog.messages == []
        tell(Progress(2, 2, 10, 10, 2.0))
    assert caplog.messages == ["2 of 2 files, 10 bytes of 10 bytes, 5 bytes/s, in 2 s"]


def test_a_short_interval_logs_every_call(caplog: pytest.LogCaptureFixture) -> None:
    tell = log_progress(logging.getLogger("transfer.test"), interval=0.0)
    with caplog.at_level(logging.INFO, "transfer.test"):
        tell(Progress(0, 2, 0, 10, 1.0))
        tell(Progress(1, 2, 5, 10, 1.0))
    assert len(caplog.messages) == 2


def test_reused_bytes_count_as_done_but_not_as_speed() -> None:
    watch = TransferProgress(2, 100)
    watch.moved(60, reused=True)
    watch.moved(10)
    watch.file_done()
    progress = watch.progress()
    assert (progress.files_done, progress.bytes_done, progress.bytes_reused) == (1, 70, 60)
    watch.moved(-70)
    assert watch.progress().bytes_per_second == 0.0


def test_results_come_in_the_items_order_and_progress_is_told_by_the_caller() -> None:
    told: list[str] = []
    release = threading.Event()

    def work(item: int) -> int:
        release.wait(120)
        return item * 2

    def progress(_: Progress) -> None:
        told.append(threading.current_thread().name)
        release.set()

    result = in_parallel(
        work, [3, 1, 2], threads=2, watch=TransferProgress(), progress=progress, interval=0.01
    )
    assert result == [6, 2, 4]
    assert set(told) == {threading.current_thread().name}


def test_the_first_failure_stops_the_other_threads() -> None:
    watch = TransferProgress()
    stopped: list[int] = []
    started = threading.Barrier(2)

    def work(item: int) -> None:
        if item > 1:
            raise AssertionError("a queued item was begun after the failure")
        started.wait(120)
        if item == 0:
            raise RuntimeError("disk full")
        try:
            while True:
                watch.pause(0.01)
        except TransferStoppedError:
            stopped.append(item)
            raise

    with pytest.raises(RuntimeError, match="disk full"):
        in_parallel(work, [0, 1], threads=2, watch=watch)
    assert stopped == [1]


def test_an_error_in_the_progress_callback_stops_the_transfer() -> None:
    watch = TransferProgress()

    def work(_: int) -> None:
        while True:
            watch.pause(0.01)

    def progress(_: Progress) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, [1, 2], threads=2, watch=watch, progress=progress, interval=0.01)
    assert time.monotonic() - start < 60
