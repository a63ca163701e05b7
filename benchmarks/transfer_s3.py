"""Transfers into S3: ours from nginx into a bucket, against httpx and obstore put together, which verify nothing.

And against obstore alone, which uploads what is there already: half of the way, so that is a comparison where the
bucket is what takes time. The store by itself is compared with it in :mod:`benchmarks.store`.

Three servers take it: a sink that keeps nothing, the same as slow as a bucket, and moto's, which keeps everything
and is slower. How busy the server is tells whose speed a figure shows.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nginx import free_ports
from benchmarks.planet_front import MB, Front, Workload
from benchmarks.transfer_contestants import Job, Run, run_python
from benchmarks.transfer_python import download, report
from benchmarks.transfer_report import print_verdict, ratio

#: Least speed of ours as a share of another's, by server and workload. Many files at once take obstore alone three
#: times the memory that ours may have.
TARGETS = {
    ("a sink", "one"): ("piped", 0.8),
    ("a sink", "many"): ("piped", 0.8),
    ("a bucket", "one"): ("obstore", 0.8),
}
BUCKET = "planet-benchmark"
#: Connections at once, by server: most where each is slow.
CONNECTIONS = {"a sink": 4, "a bucket": 16, "moto's server": 4}
START_SECONDS = 30.0


@dataclass(frozen=True)
class S3Job:
    """One upload of an order.

    :param job: What is downloaded.
    :param endpoint: The S3 server.
    :param files: What obstore uploads.
    """

    job: Job
    endpoint: str
    files: list[str]


@dataclass(frozen=True)
class Server:
    """An S3 server in a process of its own."""

    title: str
    endpoint: str
    pid: int

    def cpu(self) -> float:
        """Return its CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(title: str) -> Iterator[Server]:
    """Run an S3 server for the length of the block.

    :param title: One of :data:`SERVERS`.
    """
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, *SERVERS[title], "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _make_bucket(process, endpoint)
        yield Server(title, endpoint, process.pid)
    finally:
        process.terminate()
        process.communicate()


#: Command lines by title.
_SINK = str(Path(__file__).with_name("sink.py"))
SERVERS = {
    "a sink": [_SINK],
    # What a connection to a bucket brings, and how long it takes to answer.
    "a bucket": [_SINK, "--rate", "60", "--delay", "0.05"],
    "moto's server": ["-m", "moto.server", "--host", "127.0.0.1"],
}


def _make_bucket(process: subprocess.Popen[bytes], endpoint: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", data=b"", method="PUT")
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            opener.open(request).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the S3 server did not start") from None
            time.sleep(0.05)
        else:
            return


def measure(front: Front, workload: Workload, folder: Path, title: str, repeats: int) -> bool:
    """Run ours and obstore in turn, and print a table and whether the target is met.

    :param folder: Where the front's files are.
    :param title: One of :data:`SERVERS`.
    :return: Whether the target is met, if there is one.
    """
    connections = CONNECTIONS[title]
    job = Job(front.url, workload.order_id, front.links(workload), "", connections, str(front.certificate))
    runs: dict[str, list[Run]] = {name: [] for name in _TITLES}
    busy: dict[str, float] = {}
    with server(title) as started:
        task = S3Job(
            job,
            started.endpoint,
            [str(folder / "storage" / workload.name / path) for path in workload.paths()],
        )
        for _ in range(repeats):
            for name, found in runs.items():
                before = started.cpu()
                found.append(run_python("benchmarks.transfer_s3", name, task, job.environment()))
                busy[name] = (started.cpu() - before) / found[-1].seconds
                print(f"{title} {workload.name} {name}: {found[-1]}", file=sys.stderr)
    _print_table(workload, title, runs, busy)
    shares = {name: ratio(runs, name) or 0.0 for name in runs}
    print(
        f"\nOurs has {shares['piped']:.2f} of the speed of the same way without verification, and "
        f"{shares['obstore']:.2f} of an upload alone.",
        flush=True,
    )
    if (title, workload.name) not in TARGETS:
        return True
    name, least = TARGETS[title, workload.name]
    met = shares[name] >= least
    print_verdict(met, f"at least {least:g} of {_TITLES[name]}: {shares[name]:.2f}")
    return met


_TITLES = {
    "ours": "ours, from nginx",
    "piped": "httpx and obstore, from nginx (nothing verified)",
    "obstore": "obstore alone, from files in memory",
}


def _print_table(
    workload: Workload, title: str, runs: Mapping[str, Sequence[Run]], busy: Mapping[str, float]
) -> None:
    print(f"\n**{workload.title} into S3: {title}, {CONNECTIONS[title]} files at once**\n")
    print(
        "| | MB/s | s | CPU s per GB | peak RSS MB | cores that the server uses |\n|---|---|---|---|---|---|"
    )
    for name, found in runs.items():
        seconds = statistics.median(each.seconds for each in found)
        cpu = statistics.median(each.cpu for each in found) / (workload.bytes / 1000 / MB)
        rss = max(each.rss for each in found) / MB
        row = [_TITLES[name], f"{workload.bytes / MB / seconds:,.0f}", f"{seconds:.2f}", f"{cpu:.2f}"]
        print(f"| {' | '.join(row)} | {rss:,.0f} | {busy[name]:.2f} |")


def _ours(task: S3Job) -> None:
    from planet_provider.transfer.stores.bucket import BucketStore

    # A prefix of its own: what is there already would be read back, to see whether it agrees.
    prefix = f"orders/{os.getpid()}"
    store = BucketStore(_client(task.endpoint), prefix, uri=f"s3://{BUCKET}/{prefix}")
    report(download(task.job, store))


def _piped(task: S3Job) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import httpx
    import obstore

    client = _client(task.endpoint)

    def transfer() -> None:
        with (
            httpx.Client(follow_redirects=True, trust_env=False) as http,
            ThreadPoolExecutor(task.job.connections) as pool,
        ):

            def bring(link: str, path: str) -> None:
                with http.stream("GET", link) as response:
                    response.raise_for_status()
                    obstore.put(client, f"piped/{path}", response.iter_raw())

            list(pool.map(bring, *zip(*task.job.links, strict=True)))

    report(transfer)


def _obstore(task: S3Job) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import obstore

    client = _client(task.endpoint)

    def upload(path: str) -> None:
        obstore.put(client, f"alone/{Path(path).name}", Path(path))

    def transfer() -> None:
        with ThreadPoolExecutor(task.job.connections) as pool:
            list(pool.map(upload, task.files))

    report(transfer)


def _client(endpoint: str):  # type: ignore[no-untyped-def]
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="benchmark",
        secret_access_key="benchmark",  # pragma: allowlist secret
        client_options={"allow_http": True},
    )


_IN_PYTHON: dict[str, Callable[[S3Job], None]] = {"ours": _ours, "piped": _piped, "obstore": _obstore}

if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    _IN_PYTHON[sys.argv[1]](S3Job(**given | {"job": Job(**given["job"])}))
