"""Orders that are repaired, disks that refuse, and puts that are killed: over real sockets, with real errors."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer, Order, Trouble, made_order, serving

from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    ChecksumError,
    ServerError,
    StorageError,
    TransferError,
)
from planet_provider.transfer import download_order, verify
from planet_provider.transfer.verify import repair

KEY = "PLAK-of-the-repairing-0123456789"  # pragma: allowlist secret


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
        timeout=20,
        max_attempts=2,
        backoff_seconds=0.001,
    )


@pytest.fixture
def order(server: FaultServer) -> Order:
    made = made_order(random.Random(7), 4, (20_000, 30_000))
    server.add(made)
    return made


def assert_whole(order: Order, folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*order.files, "manifest.json", "planet-transfer.json"}
    for path, content in order.files.items():
        assert (folder / path).read_bytes() == content


def complaint(folder: Path) -> TransferError:
    with pytest.raises(TransferError) as caught:
        verify(folder)
    return caught.value


def test_mending_goes_on_after_a_failure(session: PlanetSession, order: Order, tmp_path: Path) -> None:
    folder = tmp_path / order.id
    download_order(session, order.id, tmp_path)
    first, second, *_ = order.files
    (folder / first).write_bytes(b"bad")
    (folder / second).unlink()
    order.troubles = {first: [Trouble("503")] * 100}
    for _ in range(2):
        with pytest.raises(ServerError):
            repair(session, folder, complaint(folder), max_concurrency=1)
        assert not (folder / "manifest.json").exists()
    order.troubles.clear()
    error = complaint(folder)
    assert not isinstance(error, ChecksumError)
    sent = order.sent.total()
    assert set(repair(session, folder, error)) == {first, second}
    assert order.sent.total() - sent == len(order.files[first]) + len(order.files[second])
    assert_whole(order, folder)
    assert verify(folder).validated == 4


def test_what_other_globs_brought_is_mended_and_the_globs_stay(
    session: PlanetSession, order: Order, tmp_path: Path
) -> None:
    folder = tmp_path / order.id
    first, second, *_ = order.files
    download_order(session, order.id, tmp_path, include=first)
    download_order(session, order.id, tmp_path, include=second)
    (folder / first).write_bytes(b"bad")
    assert repair(session, folder, complaint(folder)) == (first,)
    assert (folder / first).read_bytes() == order.files[first]
    record = json.loads((folder / "planet-transfer.json").read_bytes())
    assert (record["include"], record["exclude"]) == ([second], None)
    assert verify(folder).validated == 2


def test_mending_forgets_no_file_that_the_manifest_does_not_list(
    session: PlanetSession, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, (first, unlisted, *_) = tmp_path / order.id, order.files
    body = json.loads(order.manifest())
    body["files"] = [file for file in body["files"] if file["path"] != unlisted]
    monkeypatch.setattr(order, "manifest", lambda: json.dumps(body).encode())
    download_order(session, order.id, tmp_path)
    (folder / first).unlink()
    repair(session, folder, complaint(folder))
    assert verify(folder, on_unexpected="fail").validated == 4


def test_a_part_that_was_left_beside_a_whole_file_goes(
    session: PlanetSession, order: Order, tmp_path: Path
) -> None:
    folder = tmp_path / order.id
    download_order(session, order.id, tmp_path)
    for path in order.files:
        Path(f"{folder / path}.part").write_bytes(b"y" * 9000)
        Path(f"{folder / path}.part.json").write_text("{}")
    download_order(session, order.id, tmp_path)
    assert_whole(order, folder)


BOUNDED = """
import pickle, resource, sys
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import PlanetError
from planet_provider.transfer import download_order

url, key, order_id, folder, most = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
with PlanetSession(PlanetConfig(api_key=key, base_url=url)) as session:
    try:
        download_order(session, order_id, folder)
    except PlanetError as error:
        sys.stdout.buffer.write(pickle.dumps(error))
"""


def test_a_disk_that_takes_no_more_is_told_and_the_next_try_goes_on(
    server: FaultServer, session: PlanetSession, tmp_path: Path
) -> None:
    """The system's limit on a file's size stands for any refusal to write: this works without rights to mount."""
    order = made_order(random.Random(8), 2, (300_000, 300_000))
    server.add(order)
    task = [sys.executable, "-c", BOUNDED, server.url, KEY, order.id, str(tmp_path), "100000"]
    error = pickle.loads(subprocess.run(task, stdout=subprocess.PIPE, check=True, timeout=120).stdout)
    assert type(error) is StorageError
    assert error.file is not None
    assert error.file in order.files
    assert error.folder == str(tmp_path / order.id / "PSScene")
    assert error.reason == "File too large"
    for part in (error.file, error.folder, error.reason, "ulimit -f", "the next try takes them up"):
        assert part in str(error)
    held = {path.name: path.stat().st_size for path in tmp_path.rglob("*.part")}
    assert held[f"{Path(error.file).name}.part"] == 100_000
    sent = order.sent.total()
    download_order(session, order.id, tmp_path)
    assert_whole(order, tmp_path / order.id)
    assert order.sent.total() - sent == order.total - sum(held.values())


def test_a_folder_in_a_files_place_is_told_before_a_byte_of_it_is_fetched(
    session: PlanetSession, order: Order, tmp_path: Path
) -> None:
    first = next(iter(order.files))
    (tmp_path / order.id / first).mkdir(parents=True)
    with pytest.raises(StorageError, match="A folder stands where the file has to be") as caught:
        download_order(session, order.id, tmp_path, include=first)
    assert caught.value.file == first
    assert order.sent[first] == 0


IN_PLACE = """
import os, sys, time
from fsspec.implementations.local import LocalFileSystem
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.transfer import download_order
from planet_provider.transfer.stores.spool import ObjectStore

class InPlace(LocalFileSystem):
    protocol = "inplace"

    def put_file(self, lpath, rpath, callback=None, **options):
        with open(lpath, "rb") as source, open(rpath, "wb", buffering=0) as target:
            while piece := source.read(8192):
                target.write(piece)
                time.sleep(pause)

url, key, order_id, folder, spool, pause = sys.argv[1:]
pause = float(pause)
with PlanetSession(PlanetConfig(api_key=key, base_url=url)) as session:
    store = ObjectStore(InPlace(), folder, uri="sftp://host/orders", spool_dir=spool)
    download_order(session, order_id, store)
"""


@pytest.mark.ci
def test_a_put_that_is_killed_leaves_no_half_file_where_puts_write_in_place(
    server: FaultServer, tmp_path: Path
) -> None:
    """As SFTP, SMB and HDFS do."""
    order = made_order(random.Random(9), 1, (200_000, 200_000))
    server.add(order)
    remote, spool = tmp_path / "remote", tmp_path / "spool"
    remote.mkdir()
    spool.mkdir()
    folder, [path] = remote / order.id, order.files
    command = [sys.executable, "-c", IN_PLACE, server.url, KEY, order.id, str(remote), str(spool)]

    def arriving() -> list[Path]:
        return [file for file in remote.rglob("*") if file.is_file() and file.stat().st_size > 30_000]

    task = subprocess.Popen([*command, "0.2"])
    try:
        deadline = time.monotonic() + 120
        while not arriving():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        task.kill()
        task.wait()
    [left] = arriving()
    assert left.stat().st_size < 200_000
    assert not (folder / path).exists()
    assert not (folder / "manifest.json").exists()
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    subprocess.run([*command, "0"], check=True, timeout=120)
    assert_whole(order, folder)
