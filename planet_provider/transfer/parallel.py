"""Work spread over threads, watched by the thread that asked for it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from planet_provider.coordination.interrupt import interrupted_by
from planet_provider.transfer.progress import ProgressCallback, TransferProgress, TransferStoppedError

T = TypeVar("T")
R = TypeVar("R")

#: Seconds between two calls of a progress callback. What it does with them is its own affair.
PROGRESS_SECONDS = 1.0


def in_parallel(
    work: Callable[[T], R],
    items: Sequence[T],
    *,
    threads: int,
    watch: TransferProgress,
    progress: ProgressCallback | None = None,
    interval: float = PROGRESS_SECONDS,
) -> list[R]:
    """Do the same work on every item, some at a time.

    The first failure stops the rest and is raised once all threads have ended; so does whatever interrupts
    the calling thread, such as a task's timeout.

    :param threads: Items at a time; >= 1.
    :param progress: Called by this thread, about every ``interval`` seconds.
    :return: Results in the items' order.
    """
    errors: list[BaseException] = []

    def step(item: T) -> R:
        watch.check()
        try:
            with interrupted_by(watch):
                return work(item)
        except TransferStoppedError:
            raise
        except BaseException as error:
            errors.append(error)
            watch.stop()
            raise

    with ThreadPoolExecutor(threads, thread_name_prefix="planet-transfer") as pool:
        futures: list[Future[R]] = []
        try:
            # Airflow's logging and lineage know their task by context variables, which threads don't inherit.
            futures += (pool.submit(contextvars.copy_context().run, step, item) for item in items)
            _await(futures, errors, interval, (lambda: progress(watch.progress())) if progress else None)
        except BaseException:
            watch.stop()
            raise
        finally:
            for future in futures:
                future.cancel()
    if errors:
        raise errors[0]
    return [future.result() for future in futures]


def _await(
    futures: Sequence[Future[R]],
    errors: Sequence[BaseException],
    interval: float,
    tell: Callable[[], None] | None,
) -> None:
    pending = set(futures)
    while pending and not errors:
        _, pending = wait(pending, timeout=interval, return_when=FIRST_EXCEPTION)
        if tell is not None and pending and not errors:
            tell()
