"""Files into S3 while they arrive: nothing appears that is not whole, and nothing is left of a file that broke."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from s3_front import Mishap, S3Front, s3_front
from transfer_support import HASTY, QUICK, order_id, session, storage_requests

from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import ChecksumError, IncompleteTransferError, TransferError
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import download_order, verify, verify_file
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores import bucket as bucket_module
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.multipart import BUFFERS, PART_BYTES, BufferPool

__all__ = ["order_id", "session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK)

SECRET = "secret-of-the-store"


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def front(moto_url: str) -> Iterator[S3Front]:
    with s3_front(moto_url) as front:
        yield front


@pytest.fixture(scope="module")
def boto(moto_url: str) -> Any:
    """A boto3 client; making one takes a quarter of a second."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=moto_url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key=SECRET,
    )


class Bucket:
    """A bucket as S3 shows it."""

    def __init__(self, client: Any) -> None:
        self.name = f"orders-{uuid.uuid4().hex}"
        self.client = client
        self.client.create_bucket(Bucket=self.name)

    def objects(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {one["Key"]: self.object(one["Key"]) for one in listed}

    def object(self, key: str) -> bytes:
        content = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        assert isinstance(content, bytes)
        return content

    def dangling(self) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [one["Key"] for one in uploads]


@pytest.fixture
def bucket(boto: Any) -> Bucket:
    return Bucket(boto)


def client_of(bucket: str, url: str, *, retries: int = 10, seconds: float = 20) -> Any:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=url,
        region="us-east-1",
        access_key_id="testing",
        secret_access_key=SECRET,
        client_options={"allow_http": True},
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=10),
                "max_backoff": timedelta(milliseconds=50),
            },
        },
    )


@pytest.fixture
def store(bucket: Bucket, front: S3Front) -> BucketStore:
    return BucketStore(client_of(bucket.name, front.url), "prefix", uri=f"s3://conn@{bucket.name}/prefix")


@pytest.fixture(autouse=True)
def memory_comes_back() -> Iterator[None]:
    yield
    gc.collect()
    assert BUFFERS.free == BUFFERS.total


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def put(store: BucketStore, name: str, content: bytes, *, known: bool = True, chunk: int = 300_000) -> None:
    with store.stage(name, Expected(size=len(content) if known else None)) as staging:
        for start in range(0, len(content), chunk):
            staging.write(content[start : start + chunk])
        staging.publish()


@pytest.mark.parametrize(
    ("size", "known"),
    [(0, True), (1, False), (PART_BYTES - 1, False), (PART_BYTES, True), (PART_BYTES, False)],
)
def test_a_small_file_is_one_request(
    store: BucketStore, bucket: Bucket, front: S3Front, size: int, known: bool
) -> None:
    content = content_of(size)
    put(store, "a b/c+d%20.tif", content, known=known)
    assert bucket.objects() == {"prefix/a b/c+d%20.tif": content}
    assert [(method, length) for method, _, length in front.requests] == [("PUT", size)]


@pytest.mark.parametrize(
    ("size", "known"), [(PART_BYTES + 1, True), (PART_BYTES + 1, False), (2 * PART_BYTES, True)]
)
def test_a_large_file_goes_in_parts(
    store: BucketStore, bucket: Bucket, front: S3Front, size: int, known: bool
) -> None:
    content = content_of(size)
    put(store, "big.tif", content, known=known)
    assert bucket.objects() == {"prefix/big.tif": content}
    assert bucket.dangling() == []
    lengths = sorted(length for method, target, length in front.requests if "partNumber" in target)
    assert lengths[-1] == PART_BYTES
    assert sum(lengths) == size
    head = bucket.client.head_object(Bucket=bucket.name, Key="prefix/big.tif")
    assert head["ContentType"] == "image/tiff"
    assert store.size("big.tif") == size
    assert verify_file((store, "big.tif"), hashlib.sha256(content).hexdigest()) == size


def test_a_caller_may_use_its_buffer_again(store: BucketStore, bucket: Bucket) -> None:
    content = content_of(2 * PART_BYTES + 5)
    buffer = bytearray(1 << 20)
    with store.stage("big.tif", Expected(size=len(content))) as staging:
        for start in range(0, len(content), len(buffer)):
            piece = content[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            staging.write(memoryview(buffer)[: len(piece)])
        staging.publish()
    assert bucket.object("prefix/big.tif") == content


def test_nothing_appears_before_the_file_is_published(store: BucketStore, bucket: Bucket) -> None:
    write(store, "big.tif", b"before")
    content = content_of(3 * PART_BYTES)
    with store.stage("big.tif", Expected(size=len(content))) as staging:
        staging.write(content)
        assert bucket.object("prefix/big.tif") == b"before"
        staging.publish()
    assert bucket.object("prefix/big.tif") == content


def test_a_body_that_breaks_amid_the_parts_leaves_nothing(store: BucketStore, bucket: Bucket) -> None:
    def broken() -> None:
        with store.stage("big.tif", Expected(size=40 << 20)) as staging:
            staging.write(content_of(4 * PART_BYTES))
            assert until(bucket.dangling) == ["prefix/big.tif"]
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        broken()
    assert bucket.objects() == {}
    assert bucket.dangling() == []


def until(look: Any) -> Any:
    deadline = time.monotonic() + 120
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_reset_drops_what_has_left_and_begins_anew(store: BucketStore, bucket: Bucket) -> None:
    content = content_of(3 * PART_BYTES + 1)
    with store.stage("big.tif", Expected(size=len(content))) as staging:
        staging.write(b"x" * (2 * PART_BYTES + 1))
        until(bucket.dangling)
        staging.reset()
        assert bucket.dangling() == []
        assert staging.position == 0
        staging.write(content)
        staging.publish()
    assert bucket.objects() == {"prefix/big.tif": content}
    assert bucket.dangling() == []


@pytest.mark.parametrize(
    "mishap",
    [
        pytest.param(Mishap("PUT", "partNumber", 503, times=3), id="parts-503", marks=pytest.mark.ci),
        pytest.param(Mishap("PUT", "partNumber=2", 500, times=2), id="part-500", marks=pytest.mark.ci),
        pytest.param(Mishap("PUT", "partNumber=1", 0, times=2), id="part-cut"),
        pytest.param(Mishap("POST", r"\?uploads", 503, times=2), id="create-503", marks=pytest.mark.ci),
        pytest.param(Mishap("POST", "uploadId", 503, times=2), id="complete-503"),
    ],
)
def test_a_store_that_stumbles_is_asked_again(
    store: BucketStore, bucket: Bucket, front: S3Front, mishap: Mishap
) -> None:
    front.mishaps.append(mishap)
    content = content_of(3 * PART_BYTES + 1)
    put(store, "big.tif", content)
    assert mishap.times == 0
    assert bucket.objects() == {"prefix/big.tif": content}
    assert bucket.dangling() == []


@pytest.mark.parametrize(
    "mishap",
    [
        pytest.param(Mishap("PUT", "partNumber", 503, times=None), id="parts-503", marks=pytest.mark.ci),
        pytest.param(Mishap("PUT", "partNumber", 403, times=None, skip=1), id="parts-403"),
        pytest.param(Mishap("PUT", "partNumber=2", 0, times=None), id="part-cut", marks=pytest.mark.ci),
        pytest.param(Mishap("POST", r"\?uploads", 503, times=None), id="create-503"),
        pytest.param(Mishap("POST", "uploadId", 503, times=None), id="complete-503"),
    ],
)
def test_a_store_that_fails_shows_nothing_and_keeps_nothing(
    bucket: Bucket, front: S3Front, mishap: Mishap
) -> None:
    front.mishaps.append(mishap)
    client = client_of(bucket.name, front.url, retries=2)
    store = BucketStore(client, "prefix", uri=f"s3://conn@{bucket.name}/prefix")
    with pytest.raises(TransferError, match="the object store refused or failed") as caught:
        put(store, "big.tif", content_of(4 * PART_BYTES))
    assert caught.value.file == "big.tif"
    assert f"s3://conn@{bucket.name}/prefix/big.tif" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert bucket.objects() == {}
    assert bucket.dangling() == []


def test_a_small_file_that_fails(bucket: Bucket, front: S3Front) -> None:
    front.mishaps.append(Mishap("PUT", "", 503, times=None))
    store = BucketStore(client_of(bucket.name, front.url, retries=1), "", uri=f"s3://{bucket.name}")
    with pytest.raises(TransferError, match="503"):
        write(store, "a.tif", b"abc")
    assert bucket.objects() == {}


def test_a_bucket_that_is_not_there(front: S3Front) -> None:
    store = BucketStore(client_of("missing", front.url), "", uri="s3://missing")
    for size in (3, 2 * PART_BYTES):
        with pytest.raises(TransferError, match="s3://missing/a"):
            put(store, "a", bytes(size))
    assert store.size("a") is None
    with pytest.raises(FileNotFoundError):
        store.open("a")


def test_reading_goes_on_where_it_broke(
    store: BucketStore, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "WINDOW_BYTES", PART_BYTES)
    content = content_of(3 * PART_BYTES + 1)
    put(store, "big.tif", content)
    front.mishaps.append(Mishap("GET", "big.tif", 503, times=2, skip=1))
    with store.open("big.tif") as stream:
        assert stream.read(10) == content[:10]
        assert stream.read() == content[10:]
    assert front.count("GET", "big.tif") == 6


def test_an_object_that_changes_while_it_is_read_is_an_error(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "WINDOW_BYTES", 1 << 20)
    put(store, "big.tif", content_of(3 << 20))
    with store.open("big.tif") as stream:
        stream.read(1 << 20)
        put(store, "big.tif", bytes(3 << 20))
        with pytest.raises(TransferError, match="Precondition"):
            stream.read()


def test_names_sizes_and_removal(store: BucketStore) -> None:
    for name in ("a", "sub/b", "sub/deeper/c"):
        write(store, name, name.encode())
    assert sorted(store.names()) == ["a", "sub/b", "sub/deeper/c"]
    assert sorted(store.child("sub").names()) == ["b", "deeper/c"]
    assert list(store.child("su").names()) == []
    assert store.size("sub") is None
    assert read(store, "sub/b", 10) == b"sub/b"
    store.remove("a")
    store.remove("a")
    assert store.size("a") is None


@pytest.mark.ci
def test_many_large_files_share_the_memory(bucket: Bucket, moto_url: str) -> None:
    memory = BufferPool(4 * PART_BYTES, files=3)
    store = BucketStore(client_of(bucket.name, moto_url), "", uri=f"s3://{bucket.name}", memory=memory)
    contents = {f"{index}.tif": content_of(2 * PART_BYTES + index) for index in range(10)}
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda item: put(store, *item), contents.items()))
    assert bucket.objects() == contents
    gc.collect()
    assert memory.free == memory.total


def test_an_order_arrives_whole_and_a_second_run_fetches_nothing(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, store: BucketStore, bucket: Bucket
) -> None:
    result = download_order(session, order_id, store)
    stored = {key.removeprefix(f"prefix/{order_id}/"): content for key, content in bucket.objects().items()}
    manifest = json.loads(stored.pop("manifest.json"))
    stored.pop("planet-transfer.json")
    assert {path: hashlib.sha256(content).hexdigest() for path, content in stored.items()} == {
        entry["path"]: entry["digests"]["sha256"] for entry in manifest["files"]
    }
    assert result.directory == f"s3://conn@{bucket.name}/prefix/{order_id}"
    before = len(storage_requests(planet_sandbox))
    assert download_order(session, order_id, store).downloaded == 0
    assert len(storage_requests(planet_sandbox)) == before
    assert verify(store.child(order_id)).validated == len(result.files)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts so small that an image of the sandbox is large enough for some."""
    from moto.s3 import models

    part = 1 << 16
    monkeypatch.setattr(bucket_module, "part_bytes", lambda _: part)
    monkeypatch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", part)
    return part


def test_cuts_are_resumed_while_the_upload_is_open(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    store: BucketStore,
    front: S3Front,
    small_parts: int,
) -> None:
    for after in (70_000, 30_000):
        planet_sandbox.faults.add(
            Fault(kind="truncate", origin="storage", path=r"AnalyticMS\.tif", after_bytes=after)
        )
    download_order(session, order_id, store, retry_policy=HASTY)
    ranges = [request.headers.get("range") for request in storage_requests(planet_sandbox)]
    assert "bytes=70000-" in ranges
    assert front.count("PUT", "partNumber") > 2
    assert front.count("DELETE") == 0, "the upload stayed open"
    assert verify(store.child(order_id)).validated


def cut(after: int, times: int | None) -> Fault:
    return Fault(kind="truncate", origin="storage", path="Analytic.*tif", after_bytes=after, times=times)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ([Fault(kind="corrupt", origin="storage", path="Analytic.*tif", times=None)], ChecksumError),
        ([cut(150_000, 1), cut(0, None)], IncompleteTransferError),
    ],
    ids=["corrupt", "cut"],
)
def test_nothing_is_left_of_a_file_that_failed(
    planet_sandbox: Sandbox,
    session: PlanetSession,
    order_id: str,
    store: BucketStore,
    bucket: Bucket,
    front: S3Front,
    small_parts: int,
    faults: list[Fault],
    error: type[Exception],
) -> None:
    for fault in faults:
        planet_sandbox.faults.add(fault)
    with pytest.raises(error):
        download_order(session, order_id, store, retry_policy=HASTY)
    assert front.count("PUT", "partNumber"), "some parts had left"
    assert not any("AnalyticMS.tif" in key or "manifest.json" in key for key in bucket.objects())
    assert bucket.dangling() == []


_WORKER = """
import sys
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.digests import Expected
from obstore.store import S3Store

url, bucket, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = S3Store(bucket, endpoint=url, region="us-east-1", access_key_id="testing", secret_access_key="x",
                 client_options={"allow_http": True})
store = BucketStore(client, "prefix", uri=f"s3://{bucket}/prefix")
"""


@pytest.mark.ci
def test_a_worker_killed_midway_leaves_no_object_and_the_next_try_makes_it_whole(
    store: BucketStore, bucket: Bucket, front: S3Front
) -> None:
    script = _WORKER + (
        "with store.stage('big.tif', Expected(size=size)) as staging:\n"
        "    staging.write(bytes(size // 2))\n"
        "    print('half', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, front.url, bucket.name, str(8 * PART_BYTES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "half\n"
        until(lambda: front.count("PUT", "partNumber"))
        os.kill(worker.pid, signal.SIGKILL)
    assert bucket.objects() == {}
    assert bucket.dangling() == ["prefix/big.tif"], "what a lifecycle rule is for"
    content = content_of(8 * PART_BYTES)
    put(store, "big.tif", content)
    assert bucket.objects() == {"prefix/big.tif": content}


_MEASURED = (
    _WORKER
    + """
from concurrent.futures import ThreadPoolExecutor
chunk = bytes(1 << 18)
def put(index):
    with store.stage(f"{index}.tif", Expected(size=size)) as staging:
        for _ in range(size // len(chunk)):
            staging.write(chunk)
        staging.publish()
with ThreadPoolExecutor(16) as pool:
    list(pool.map(put, range(int(sys.argv[4]))))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(("files", "size"), [(1, 300 << 20), (16, 40 << 20)])
def test_memory_stays_bounded_at_any_size(files: int, size: int) -> None:
    from benchmarks.sink import running

    with running() as url:
        command = [sys.executable, "-c", _MEASURED, url, "bucket", str(size), str(files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert int(done.stdout) < 150 * 1024


def test_uploads_of_other_threads_go_on_while_one_waits(store: BucketStore, front: S3Front) -> None:
    front.mishaps.append(Mishap("PUT", "slow.*partNumber", 503, times=4))
    done = threading.Event()

    def other() -> None:
        put(store, "fast.tif", content_of(2 * PART_BYTES))
        done.set()

    thread = threading.Thread(target=other)
    with store.stage("slow.tif", Expected(size=3 * PART_BYTES)) as staging:
        staging.write(content_of(2 * PART_BYTES))
        thread.start()
        assert done.wait(120)
        staging.write(content_of(PART_BYTES))
        staging.publish()
    thread.join()
    assert {store.size("fast.tif"), store.size("slow.tif")} == {2 * PART_BYTES, 3 * PART_BYTES}
