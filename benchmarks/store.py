"""What publishing to an object store costs: ours, obstore alone and s3fs, the same bytes from memory.

    python -m benchmarks.store [--rounds 5] [--rate 60 --delay 0.05]

They write to a sink (:mod:`benchmarks.sink`) in a process of its own, which drops what it gets. Each contestant
runs in a fresh process each time, in turn, and the ratios are of a round's two: what one measures is paired with
what another one measured a moment before.

``file`` is obstore as one uploads with it, from a file (in memory, where there is such a file system). ``bare``
yields the same 256 KiB of memory again and again, which obstore never copies and which stay in the processor's
cache. Ours takes such chunks as they come from a connection, gathers them into parts and bounds the memory of all
files together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.sink import running

MB = 1_000_000
_CHUNK = bytes(range(256)) * 1024


@dataclass(frozen=True)
class Workload:
    """Files of a size, some at once."""

    name: str
    files: int
    size: int
    threads: int


WORKLOADS = (
    Workload("1 x 1 GB", 1, 1000 * MB, 1),
    Workload("16 x 60 MB, 4 at once", 16, 60 * MB, 4),
    Workload("16 x 60 MB, 16 at once", 16, 60 * MB, 16),
    Workload("400 x 0.5 MB, 8 at once", 400, MB // 2, 8),
)


def _chunks(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _CHUNK if size >= len(_CHUNK) else _CHUNK[:size]
        size -= len(_CHUNK)


def _client(url: str) -> Any:
    from obstore.store import S3Store

    return S3Store(
        "bucket",
        endpoint=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
        client_options={"allow_http": True, "timeout": "300s"},
    )


def _ours(url: str, size: int) -> Callable[[str], None]:
    from planet_provider.transfer.digests import Expected
    from planet_provider.transfer.stores.bucket import BucketStore

    store = BucketStore(_client(url), "ours", uri="s3://bucket/ours")

    def put(name: str) -> None:
        with store.stage(name, Expected(size=size)) as staging:
            for chunk in _chunks(size):
                staging.write(chunk)
            staging.publish()

    return put


def _bare(url: str, size: int) -> Callable[[str], None]:
    import obstore

    client = _client(url)

    def put(name: str) -> None:
        obstore.put(client, f"bare/{name}", _chunks(size))

    return put


def _file(url: str, size: int) -> Callable[[str], None]:
    import obstore

    client, memory = _client(url), Path("/dev/shm")
    source = tempfile.NamedTemporaryFile(dir=memory if memory.is_dir() else None)  # noqa: SIM115 - goes with `put`
    source.writelines(_chunks(size))
    source.flush()

    def put(name: str) -> None:
        obstore.put(client, f"file/{name}", Path(source.name))

    return put


def _s3fs(url: str, size: int) -> Callable[[str], None]:
    import s3fs

    fs = s3fs.S3FileSystem(
        key="key", secret="secret", endpoint_url=url, client_kwargs={"region_name": "us-east-1"}
    )

    def put(name: str) -> None:
        with fs.open(f"bucket/s3fs/{name}", "wb") as file:
            for chunk in _chunks(size):
                file.write(chunk)

    return put


CONTESTANTS: dict[str, Callable[[str, int], Callable[[str], None]]] = {
    "ours": _ours,
    "file": _file,
    "bare": _bare,
    "s3fs": _s3fs,
}


@dataclass(frozen=True)
class Run:
    """One measurement: MB/s, CPU seconds a GB, and the process's peak RSS in MB."""

    speed: float
    cpu: float
    rss: float


def _measure(contestant: str, url: str, work: Workload) -> Run:
    put = CONTESTANTS[contestant](url, work.size)
    put("warm-up")
    before, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(work.threads) as pool:
        list(pool.map(put, (f"{index}.tif" for index in range(work.files))))
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    megabytes = work.files * work.size / MB
    return Run(megabytes / seconds, cpu / megabytes * 1000, _peak())


def _peak() -> float:
    # Not ru_maxrss, which counts what the process was before it became this program.
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024 / MB


def _in_process(contestant: str, url: str, work: Workload) -> Run:
    arguments = json.dumps([contestant, url, asdict(work)])
    command = [sys.executable, "-m", "benchmarks.store", "--measure", arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _race(work: Workload, names: Sequence[str], rounds: int, url: str) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(rounds):
        # Each is first as often as the others.
        for index in range(len(names)):
            name = names[(turn + index) % len(names)]
            runs[name].append(_in_process(name, url, work))
    return runs


def _tell(work: Workload, runs: dict[str, list[Run]]) -> None:
    print(f"\n{work.name}")
    ours = runs["ours"]
    for name, measured in runs.items():
        ratios = [mine.speed / theirs.speed for mine, theirs in zip(ours, measured, strict=True)]
        print(
            f"  {name:5}  {statistics.median(one.speed for one in measured):7.0f} MB/s"
            f"  {statistics.median(one.cpu for one in measured):5.2f} CPU-s/GB"
            f"  {max(one.rss for one in measured):5.0f} MB RSS"
            + ("" if name == "ours" else f"  ours is {statistics.median(ratios):.2f}x")
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Uploads from memory: ours, obstore alone, s3fs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0.0, help="MB/s that the sink takes a connection")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each of its answers")
    parser.add_argument("--only", nargs="*", choices=sorted(CONTESTANTS), help="contestants beside ours")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        contestant, url, work = json.loads(options.measure)
        print(json.dumps(asdict(_measure(contestant, url, Workload(**work)))))
        return
    names = ["ours", *(name for name in options.only or CONTESTANTS if name != "ours")]
    for work in WORKLOADS:
        with running(options.rate * MB, options.delay) as url:
            _tell(work, _race(work, names, options.rounds, url))


if __name__ == "__main__":
    main()
