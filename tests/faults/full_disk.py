"""Take slots from a folder on a disk that is full, then has room. Runs in a mount namespace of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from planet_provider.coordination.fallback import RETRY_SECONDS
from planet_provider.coordination.open import open_store


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
    tempfile.tempdir = str(folder.parent)  # where the machine's share is kept meanwhile
    store = open_store(f"file://{folder}/slots", 0.1)

    def spacing() -> float:
        """Return how far apart slots are that would be ten seconds apart at full rate."""
        first, second = (store.reserve("account:orders.get", 10.0, 6000.0) for _ in range(2))
        return second.slot - first.slot

    seconds = spacing()
    assert abs(seconds - 100.0) < 0.001, seconds
    filler.unlink()
    time.sleep(RETRY_SECONDS)
    seconds = spacing()
    assert abs(seconds - 10.0) < 0.001, seconds
    assert list((folder / "slots").iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
