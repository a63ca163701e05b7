"""The contestants that are written in Python: each run is a process of its own, which measures itself."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.transfer_contestants import Job, Run, peak_memory, sync

_KEY = "PLAK-benchmark-not-a-credential"  # pragma: allowlist secret


def _ours(job: Job) -> None:
    report(download(job, job.destination))


def download(job: Job, destination: object) -> Callable[[], None]:
    """Return what downloads an order by ours, with all rate limits lifted."""
    from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
    from planet_provider.client.http.session import PlanetSession
    from planet_provider.transfer import download_order

    config = PlanetConfig(
        api_key=_KEY,
        base_url=job.url,
        rate_limits=dict.fromkeys(DOCUMENTED_RATES, 1e6),
        # Links are answered by another origin than files are.
        max_connections=max(16, 2 * job.connections),
    )

    def transfer() -> None:
        with PlanetSession(config) as session:
            download_order(session, job.order_id, destination, max_concurrency=job.connections)

    return transfer


def _sdk(job: Job, *, limited: bool = True, checksum: str = "SHA256") -> None:
    import planet.http
    from planet import Auth, OrdersClient, Session

    if not limited:
        planet.http.RATE_LIMIT = 0

    async def transfer() -> None:
        async with Session(auth=Auth.from_key(_KEY)) as session:
            client = OrdersClient(session, base_url=f"{job.url}/compute/ops")
            await client.download_order(job.order_id, Path(job.destination))
            client.validate_checksum(Path(job.destination, job.order_id), checksum)
        sync(job)

    report(lambda: asyncio.run(transfer()))


def report(transfer: Callable[[], Any]) -> None:
    """Measure a call in this process, and print what it took."""
    before, started = _cpu(), time.perf_counter()
    transfer()
    seconds = time.perf_counter() - started
    print(json.dumps(asdict(Run(seconds, _cpu() - before, peak_memory()))))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


_IN_PYTHON: dict[str, Callable[[Job], None]] = {
    "ours": _ours,
    "sdk": _sdk,
    "sdk-md5": lambda job: _sdk(job, checksum="MD5"),
    "sdk-unlimited": lambda job: _sdk(job, limited=False),
}

if __name__ == "__main__":
    _IN_PYTHON[sys.argv[1]](Job(**json.loads(sys.argv[2])))
