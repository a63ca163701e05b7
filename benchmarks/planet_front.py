"""Planet's part of a transfer, played by nginx: an order with links, which lead to storage by a redirect.

Each variant is two origins: one answers ``GET /compute/ops/orders/v2/<id>`` with JSON and a download link with
302, the other one is the storage. Nothing but nginx runs beside the contestants.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks.nginx import free_ports, make_certificate, nginx

MB = 1_000_000
_BLOCK_BYTES = 1 << 20
_POOL_BYTES = 16 << 20
_HASHES = ("md5", "sha256")


@dataclass(frozen=True)
class Workload:
    """What an order holds.

    :param files: How many.
    :param size: Bytes of each.
    """

    name: str
    title: str
    files: int
    size: int

    @property
    def bytes(self) -> int:
        """All of its files together."""
        return self.files * self.size

    @property
    def order_id(self) -> str:
        """A UUID, as Planet's."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.files}x{self.size}"))

    def paths(self) -> Iterator[str]:
        """Yield the files' names in the order's folder."""
        for number in range(self.files):
            yield f"PSScene/2026_{number:04d}_3B_AnalyticMS_SR.tif"


@dataclass(frozen=True)
class Variant:
    """How nginx serves.

    :param rate: ``limit_rate`` of a connection to the storage.
    """

    name: str
    title: str
    tls: bool = False
    rate: str = ""


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("clear", "clear"),
        Variant("tls", "TLS", tls=True),
        Variant("throttled", "20 MB/s a connection", rate="20m"),
    )
}


@dataclass(frozen=True)
class Front:
    """Where a variant answers.

    :param url: Planet's origin.
    :param storage_url: The storage's.
    :param certificate: What to trust, a PEM file.
    """

    url: str
    storage_url: str
    certificate: Path

    def links(self, workload: Workload) -> list[tuple[str, str]]:
        """Return each file's link and path, the manifest's too."""
        return [
            (f"{self.url}/compute/ops/download/?token={quote(f'{workload.name}/{path}')}", path)
            for path in (*workload.paths(), "manifest.json")
        ]


@contextmanager
def fronts(
    folder: Path, workloads: Sequence[Workload], variants: Sequence[Variant]
) -> Iterator[Mapping[str, Front]]:
    """Make the files and serve them for the length of the block.

    :param folder: Empty; takes all files of the workloads.
    :return: Fronts by name of their variant.
    """
    for workload in workloads:
        _make_files(folder / "storage" / workload.name, workload)
    certificate, key = make_certificate(folder)
    ports = free_ports(2 * len(variants))
    found, servers = {}, []
    for number, variant in enumerate(variants):
        api, storage = ports[2 * number : 2 * number + 2]
        scheme = "https" if variant.tls else "http"
        front = Front(f"{scheme}://127.0.0.1:{api}", f"{scheme}://127.0.0.1:{storage}", certificate)
        for workload in workloads:
            _write_order(folder / variant.name, front, workload)
        servers.append(_servers(folder, variant, front, api, storage))
        found[variant.name] = front
    with nginx(folder, "".join(servers), ports, certificate, key):
        yield found


def _servers(folder: Path, variant: Variant, front: Front, api: int, storage: int) -> str:
    tls = " ssl" if variant.tls else ""
    limit = f"limit_rate {variant.rate};" if variant.rate else ""
    return f"""\
    server {{
        listen 127.0.0.1:{api}{tls};
        root {folder}/{variant.name};
        location /compute/ops/orders/v2/ {{ default_type application/json; }}
        location = /compute/ops/download/ {{
            return 302 {front.storage_url}/$arg_token?X-Signature=0123456789abcdef;
        }}
    }}
    server {{
        listen 127.0.0.1:{storage}{tls};
        root {folder}/storage;
        {limit}
    }}
"""


def _write_order(root: Path, front: Front, workload: Workload) -> None:
    path = root / "compute" / "ops" / "orders" / "v2" / workload.order_id
    path.parent.mkdir(parents=True, exist_ok=True)
    results = [
        {
            "name": f"{workload.order_id}/{path}",
            "location": link,
            "delivery": "success",
            "expires_at": "2099-01-01T00:00:00.000Z",
        }
        for link, path in front.links(workload)
    ]
    order = {
        "_links": {
            "_self": f"{front.url}/compute/ops/orders/v2/{workload.order_id}",
            "results": results,
        },
        "id": workload.order_id,
        "name": workload.title,
        "state": "success",
        "created_on": "2026-01-01T00:00:00.000Z",
        "last_modified": "2026-01-01T00:10:00.000Z",
        "last_message": "Manifest delivery completed",
        "error_hints": [],
        "products": [],
        "tools": [],
        "delivery": {},
    }
    path.write_text(json.dumps(order))


def _make_files(folder: Path, workload: Workload) -> None:
    """Write files and their manifest. Every 1 MiB is another piece of random bytes, so that a block out of
    place changes the digest."""
    pool = memoryview(random.Random(workload.name).randbytes(_POOL_BYTES))
    entries = []
    for number, path in enumerate(workload.paths()):
        drawn = random.Random(f"{workload.name} {number}")
        hashes = [hashlib.new(name) for name in _HASHES]
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for start in range(0, workload.size, _BLOCK_BYTES):
                length = min(_BLOCK_BYTES, workload.size - start)
                offset = drawn.randrange(_POOL_BYTES - length)
                block = pool[offset : offset + length]
                file.write(block)
                for each in hashes:
                    each.update(block)
        entries.append(_entry(path, workload.size, {each.name: each.hexdigest() for each in hashes}))
    (folder / "manifest.json").write_text(json.dumps({"name": "", "files": entries}))


def _entry(path: str, size: int, digests: Mapping[str, str]) -> dict[str, object]:
    return {
        "path": path,
        "media_type": "image/tiff",
        "size": size,
        "digests": digests,
        "annotations": {"planet/item_type": "PSScene", "planet/bundle_type": "analytic_sr_udm2"},
    }
