"""Take slots from a folder on a disk that is full, then has room. Runs in a mount namespace of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

from planet_provider.client.ratelimit import RateLimiter, open_store
from planet_provider.client.ratelimit.fallback import RETRY_SECONDS


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=True)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    limits = RateLimiter(open_store(f"file://{folder}/slots", 0.1), "PLAK-none", {"orders.get": 20.0}, 60.0)

    def take() -> float:
        started = time.monotonic()
        for seconds in limits.waits("orders.get"):
            time.sleep(seconds)
        return time.monotonic() - started

    waits = [take() for _ in range(3)]
    assert waits[0] < 0.2, waits
    assert all(0.4 < wait < 1.0 for wait in waits[1:]), waits
    filler.unlink()
    time.sleep(RETRY_SECONDS)
    waits = [take() for _ in range(5)]
    assert sum(waits) < 0.5, waits
    assert list((folder / "slots").iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
