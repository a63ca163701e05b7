"""Ten thousand transfers, each broken in ways that a seed chooses: what is at a file's place is the file."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fault_server import FaultServer, Kind, Order, Trouble, made_order, serving

from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    ChecksumError,
    ContentChangedError,
    IncompleteTransferError,
    LinkExpiredError,
    PlanetError,
    ServerError,
)
from planet_provider.transfer import Ranges, RetryPolicy, download_order

KEY = "PLAK-of-the-campaign-0123456789"  # pragma: allowlist secret
SEED = 20240229

#: Small enough for parts of files of some hundred kilobytes.
RANGES = Ranges(min_bytes=64 << 10, part_bytes=(16 << 10, 32 << 10))
PATIENCE = RetryPolicy(pause_seconds=0.001)

#: How a transfer may end, if not well.
SPECIFIC = (ChecksumError, ContentChangedError, IncompleteTransferError, LinkExpiredError, ServerError)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture
def session(server: FaultServer) -> Iterator[PlanetSession]:
    with PlanetSession(config(server.url)) as opened:
        yield opened


def config(url: str) -> PlanetConfig:
    return PlanetConfig(
        api_key=KEY,
        base_url=url,
        rate_limits=dict.fromkeys(DOCUMENTED_RATES, 1e5),
        timeout=0.4,
        max_attempts=20,  # so that a machine which stalls for some seconds is outlasted
        backoff_seconds=0.001,
    )


def download(session: PlanetSession, order: Order, folder: Path, **settings: Any) -> PlanetError | None:
    """Download an order, and check all that is at a final place, whatever the end was."""
    try:
        download_order(session, order.id, folder, retry_policy=PATIENCE, ranges=RANGES, **settings)
        error = None
    except PlanetError as raised:
        error = raised
    check_places(order, folder, whole=error is None)
    return error


def check_places(order: Order, folder: Path, *, whole: bool = False) -> None:
    """Check that what is at a final place is what the manifest says; if whole, that all is there, and no more."""
    root = folder / order.id
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    wrong = [
        path for path, content in order.files.items() if path in found and found[path].read_bytes() != content
    ]
    assert wrong == []
    own = {"manifest.json", "planet-transfer.json"}
    if whole:
        assert set(found) == {*order.files, *own}
    else:
        assert "manifest.json" not in found


def some_troubles(chance: random.Random, kinds: tuple[Kind, ...]) -> list[Trouble]:
    return [Trouble(chance.choice(kinds), chance.random()) for _ in range(chance.choice((0, 1, 1, 2)))]


ALL: tuple[Kind, ...] = get_args(Kind)


def rounds(few: int, all_of_them: int) -> pytest.MarkDecorator:
    """Run a campaign in part in CI, and whole in ``make test-all``."""
    return pytest.mark.parametrize(
        "rounds",
        [pytest.param(few, marks=pytest.mark.ci), pytest.param(all_of_them, marks=pytest.mark.slow)],
    )


@rounds(15, 180)
@pytest.mark.timeout(600)
def test_thousands_of_transfers_end_whole_or_in_a_specific_error(
    server: FaultServer, session: PlanetSession, tmp_path: Path, rounds: int
) -> None:
    chance = random.Random(SEED)
    # Stalls cost time, so there are few of them.
    often = tuple(kind for kind in ALL if kind != "stall")
    ends: Counter[str] = Counter()
    for number in range(rounds):
        order = made_order(chance, 50, (1, 40_000))
        order.troubles = {path: some_troubles(chance, often) for path in order.files}
        order.troubles[chance.choice(list(order.files))] = [Trouble("stall", chance.random())]
        server.add(order)
        error = download(session, order, tmp_path)
        ends["whole" if error is None else type(error).__name__] += 1
        assert error is None or isinstance(error, SPECIFIC), error
        if error is not None:
            # What broke it is over by then.
            order.troubles.clear()
            assert download(session, order, tmp_path) is None, number
    assert ends["whole"] > rounds / 4.5, ends
    assert len(ends) > 1, ends


@rounds(6, 60)
@pytest.mark.timeout(300)
def test_files_in_parts_end_whole_or_in_a_specific_error(
    server: FaultServer, session: PlanetSession, tmp_path: Path, rounds: int
) -> None:
    chance = random.Random(SEED + 1)
    parts = 0
    for _ in range(rounds):
        order = made_order(chance, 3, (300_000, 600_000), pause=0.004)
        # The first answer is to the whole file; what follows happens to its parts.
        order.troubles = {
            path: [Trouble("no_length") if chance.random() < 0.1 else Trouble("cut", 1.0)]
            + [Trouble(chance.choice(ALL), chance.random()) for _ in range(chance.choice((0, 1, 3, 6)))]
            for path in order.files
        }
        server.add(order)
        error = download(session, order, tmp_path)
        assert error is None or isinstance(error, SPECIFIC), error
        parts += len(order.ranges)
        if error is not None:
            order.troubles.clear()
            assert download(session, order, tmp_path) is None
    assert parts > 1000 * rounds / 60


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_cuts_cost_at_most_a_twentieth(server: FaultServer, session: PlanetSession, tmp_path: Path) -> None:
    chance = random.Random(SEED + 2)
    sent = total = 0
    for _ in range(20):
        order = made_order(chance, 50, (1_000, 60_000))
        order.troubles = {path: some_troubles(chance, ("cut",)) for path in order.files}
        server.add(order)
        assert download(session, order, tmp_path, max_concurrency=4) is None
        sent += order.sent.total()
        total += order.total
    assert total <= sent <= 1.05 * total


TASK = """
import sys
import time
sys.path.insert(0, sys.argv[1])
from test_transfer_campaign import config, PATIENCE, RANGES
from planet_provider.client.http.session import PlanetSession
from planet_provider.transfer import download_order

url, order_id, folder = sys.argv[2:]
with PlanetSession(config(url)) as session:
    download_order(session, order_id, folder, retry_policy=PATIENCE, ranges=RANGES)
"""


@rounds(4, 25)
@pytest.mark.timeout(600)
def test_workers_killed_at_any_byte_leave_nothing_wrong(
    server: FaultServer, tmp_path: Path, rounds: int
) -> None:
    chance = random.Random(SEED + 3)
    killed = 0
    for number in range(rounds):
        in_parts = number % 2 == 1
        order = (
            made_order(chance, 3, (300_000, 700_000), pause=0.003)
            if in_parts
            else made_order(chance, 40, (1_000, 60_000), pause=0.001)
        )
        server.add(order)
        for _ in range(2):
            killed += run_and_kill(server, order, tmp_path, chance.randint(1, order.total))
            check_places(order, tmp_path, whole=(tmp_path / order.id / "manifest.json").exists())
        order.on_sent = None
        with PlanetSession(config(server.url)) as session:
            assert download(session, order, tmp_path) is None
    assert killed >= rounds


def run_and_kill(server: FaultServer, order: Order, folder: Path, after: int) -> bool:
    """Run a worker and kill it once the storage has sent it so many bytes.

    :return: Whether it was killed; it may have been quicker.
    """
    before = order.sent.total()
    worker = subprocess.Popen(
        [sys.executable, "-c", TASK, str(Path(__file__).parent), server.url, order.id, str(folder)]
    )

    def look(sent: int) -> None:
        if sent - before >= after and worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)

    order.on_sent = look
    return worker.wait(300) == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["cut", "corrupt", "expire", "503", "no_range", "changed", "no_length"])
def test_a_part_in_trouble_does_not_spoil_the_file(
    server: FaultServer, session: PlanetSession, tmp_path: Path, kind: Kind
) -> None:
    order = made_order(random.Random(kind), 1, (900_000, 900_000), pause=0.004)
    [path] = order.files
    order.troubles = {path: [Trouble("cut", 1.0), *[Trouble("cut", 1.0)] * 2, Trouble(kind)]}
    server.add(order)
    assert download(session, order, tmp_path) is None
    assert len(order.ranges) >= 2


@pytest.mark.parametrize("hops", [0, 3])
def test_the_key_never_reaches_the_storage_through_any_chain(
    server: FaultServer, session: PlanetSession, tmp_path: Path, hops: int
) -> None:
    order = made_order(random.Random(1), 2, (400_000, 500_000), pause=0.004)
    server.add(order)
    server.storage_headers.clear()
    server.hops = hops
    try:
        assert download(session, order, tmp_path) is None
    finally:
        server.hops = 0
    assert len(server.storage_headers) > 4
    for headers in server.storage_headers:
        assert "authorization" not in headers
        assert KEY not in str(headers)


def test_a_failure_ends_threads_that_wait_for_bytes_at_once(server: FaultServer, tmp_path: Path) -> None:
    order = made_order(random.Random(2), 2, (50_000, 50_000))
    stalled, refused = order.files
    order.troubles = {stalled: [Trouble("stall")], refused: [Trouble("expire")] * 100}
    server.add(order)
    patient = dataclasses.replace(config(server.url), timeout=600.0)
    started = time.monotonic()
    with PlanetSession(patient) as session:
        assert isinstance(download(session, order, tmp_path), LinkExpiredError)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "etag", ['"völlig-anders"', '"版本-1"', '"\x01"', '""', 'W/"1"', '"' + "e" * 2000 + '"']
)
def test_an_etag_that_cannot_be_sent_back_stops_no_transfer(
    server: FaultServer, session: PlanetSession, tmp_path: Path, etag: str
) -> None:
    content = random.Random(SEED).randbytes(40_000)
    order = Order({"a.tif": content}, {"a.tif": [Trouble("cut", 0.5)] * 2}, etag=etag)
    server.add(order)
    assert download(session, order, tmp_path) is None
    # A task that was killed left half of the file, with what was noted of it.
    again = Order({"a.tif": content}, {"a.tif": [Trouble("cut", 0.5)] * 50}, etag=etag)
    server.add(again)
    assert isinstance(download(session, again, tmp_path), IncompleteTransferError)
    again.troubles.clear()
    assert download(session, again, tmp_path) is None
