"""What downloads an order, each in a process of its own: ours, the official SDK, curl and aria2c."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.nginx import program

#: Seconds between two looks at how much memory a program has taken.
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Job:
    """One download of an order.

    :param url: Planet's origin.
    :param links: Each file's link and path.
    :param destination: Empty folder.
    :param connections: Connections to the storage at once, where the contestant can have several.
    :param certificate: What to trust, a PEM file.
    """

    url: str
    order_id: str
    links: list[tuple[str, str]]
    destination: str
    connections: int
    certificate: str

    def environment(self) -> dict[str, str]:
        """Return the environment of the process: trusting the server, past any proxy."""
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        return kept | {"SSL_CERT_FILE": self.certificate, "NO_PROXY": "*"}


@dataclass(frozen=True)
class Run:
    """What it took.

    :param seconds: Wall time. In Python from before the session is made, without the interpreter's start and
        the imports, which a worker has behind it; of programs from start to exit. Syncing the files is in it.
    :param cpu: CPU seconds, user and system, of the same span.
    :param rss: Most resident memory in bytes, of the whole process.
    """

    seconds: float
    cpu: float
    rss: int


def run(name: str, job: Job) -> Run:
    """Run a contestant.

    :raises RuntimeError: It failed.
    """
    measured = CONTESTANTS[name].run(job)
    order = Path(job.destination, job.order_id)
    missing = [path for _, path in job.links if not (order / path).is_file()]
    if missing:
        raise RuntimeError(f"{name} did not bring {missing[:3]}")
    return measured


def run_python(module: str, name: str, job: Any, environment: Mapping[str, str]) -> Run:
    """Run a module of this package that calls :func:`report`, in a process of its own.

    :param job: A dataclass, handed over as JSON.
    :raises RuntimeError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, name, json.dumps(asdict(job))],
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed; see above")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _python(name: str) -> Callable[[Job], Run]:
    return lambda job: run_python("benchmarks.transfer_python", name, job, job.environment())


def _program(command: Callable[[Job, Path], list[str]]) -> Callable[[Job], Run]:
    def measured(job: Job) -> Run:
        with tempfile.TemporaryDirectory(prefix="planet-benchmark-") as folder:
            arguments = command(job, Path(folder))
            started = time.perf_counter()
            process = subprocess.Popen(arguments, env=job.environment(), stdout=subprocess.DEVNULL)
            with _watched(process.pid) as peak:
                _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"{arguments[0]} failed with {process.returncode}")
            sync(job)
            return Run(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, max(peak))

    return measured


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Look at intervals how much memory a process has held at most."""
    found, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            found.append(peak_memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def peak_memory(pid: int | str = "self") -> int:
    """Return the most memory a process has held, in bytes; 0 if that can't be told.

    ``ru_maxrss`` would count the process that it was forked from, too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line), 0)


def sync(job: Job) -> None:
    """Write all files through to the disk, as ours does: nobody gains by leaving it to the kernel."""
    for _, path in job.links:
        handle = os.open(Path(job.destination, job.order_id, path), os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _curl(job: Job, folder: Path) -> list[str]:
    config = folder / "curl.conf"
    config.write_text(
        "".join(f'url = "{link}"\noutput = "{job.order_id}/{path}"\n' for link, path in job.links)
    )
    return [
        *(program("curl"), "--disable", "--no-progress-meter", "--fail", "--location", "--create-dirs"),
        *("--cacert", job.certificate),
        *("--parallel", "--parallel-immediate", "--parallel-max", str(job.connections)),
        *("--output-dir", job.destination, "--config", str(config)),
    ]


def _aria2c(job: Job, folder: Path) -> list[str]:
    links = folder / "links.txt"
    links.write_text("".join(f"{link}\n  out={job.order_id}/{path}\n" for link, path in job.links))
    # Either files or ranges of one file in parallel, so that there are never more connections than asked for.
    several = len(job.links) > 2
    files, ranges = (job.connections, 1) if several else (1, job.connections)
    return [
        *(program("aria2c", "aria2"), "--no-conf", "--quiet", f"--ca-certificate={job.certificate}"),
        *(f"--max-concurrent-downloads={files}", f"--split={ranges}"),
        *(f"--max-connection-per-server={ranges}", "--min-split-size=1M", "--file-allocation=none"),
        *(f"--dir={job.destination}", f"--input-file={links}"),
    ]


@dataclass(frozen=True)
class Contestant:
    """One way to download.

    :param run: Runs it in a process of its own.
    :param verifies: Whether it compares digests.
    """

    title: str
    run: Callable[[Job], Run]
    verifies: bool = True


CONTESTANTS = {
    "ours": Contestant("ours", _python("ours")),
    "curl": Contestant("curl --parallel", _program(_curl), verifies=False),
    "aria2c": Contestant("aria2c", _program(_aria2c), verifies=False),
    "sdk": Contestant("planet SDK", _python("sdk")),
    "sdk-md5": Contestant("planet SDK, MD5 as in its guide", _python("sdk-md5")),
    "sdk-unlimited": Contestant("planet SDK, its limit of 10/s off", _python("sdk-unlimited")),
}
