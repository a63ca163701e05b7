"""The local Planet in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.processes import ProcessGroup
from demo.settings import clean_environment

START_SECONDS = 120.0


@dataclass(frozen=True)
class SandboxProcess:
    """A running sandbox.

    :param url: Origin of the API.
    :param storage_url: Origin that download links redirect to.
    :param api_key: A key it accepts.
    """

    url: str
    storage_url: str
    api_key: str = field(repr=False)

    def connection(self, **extra: object) -> str:
        """Return the Airflow connection to it, as JSON for ``AIRFLOW_CONN_<ID>``.

        :param extra: The connection's extras.
        """
        return json.dumps({"conn_type": "planet", "host": self.url, "password": self.api_key, "extra": extra})


def start_sandbox(processes: ProcessGroup, *options: str) -> SandboxProcess:
    """Start ``planet-sandbox`` on free ports and wait until it is ready.

    :param processes: Ends it.
    :param options: Further options of its command line.
    :raises ComponentError: It didn't start.
    """
    announcement = processes.log_directory / "sandbox.json"
    command: Sequence[str] = (str(Path(sys.executable).with_name("planet-sandbox")), "--port", "0", *options)
    processes.start("sandbox", command, clean_environment(), stdout=announcement)
    processes.wait_until(
        lambda: announcement.read_bytes().endswith(b"\n"), "the sandbox was not ready", START_SECONDS
    )
    ready = json.loads(announcement.read_text().splitlines()[0])
    return SandboxProcess(url=ready["url"], storage_url=ready["storage_url"], api_key=ready["api_key"])
