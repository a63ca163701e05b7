"""A PostgreSQL of one's own: on a free port, in a folder of its own, gone with the block."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.metadata import Metadata
from demo.processes import ProcessGroup, free_ports
from demo.settings import clean_environment

START_SECONDS = 120.0
CONNECTIONS = 200
"""Airflow's components keep pools of 5 to 15 connections each."""
USER = "postgres"
"""The superuser of the database; also the user of the system that the server runs as where root starts it."""
PLACES = "usr/lib/postgresql/*/bin"
"""Where Debian puts the server's programs, which are not on the path there."""
SETTINGS = {
    # Nothing here must survive a crash of the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": str(CONNECTIONS),
}


class PostgresMissingError(RuntimeError):
    """There is no PostgreSQL server on this machine."""


class PostgresMetadata(Metadata):
    """Read-only view of a PostgreSQL database.

    :param port: Port on loopback.
    :param name: The database.
    """

    creation_order = "id"

    def __init__(self, port: int, name: str) -> None:
        super().__init__(f"postgresql+psycopg2://{USER}@127.0.0.1:{port}/{name}")
        self._dsn = f"host=127.0.0.1 port={port} user={USER} dbname={name}"

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, in which ``?`` stands for a parameter."""
        # Deferred: only who starts a PostgreSQL needs the driver.
        import psycopg2  # type: ignore[import-untyped]  # noqa: PLC0415

        connection = psycopg2.connect(self._dsn)
        try:
            connection.set_session(readonly=True, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(sql.replace("%", "%%").replace("?", "%s"), parameters)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
                return rows
        finally:
            connection.close()

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        return [name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]


@contextmanager
def postgres_server() -> Iterator[PostgresMetadata]:
    """Run a PostgreSQL server with an empty database for the length of the block.

    :return: The database.
    :raises PostgresMissingError: There is none; the message says how to get one.
    """
    programs = _programs()
    user = USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="planet-postgres-") as name:
        folder = Path(name)
        if user:  # PostgreSQL refuses to run as root
            shutil.chown(folder, user, user)
        data = folder / "data"
        _run(user, str(programs / "initdb"), "--pgdata", str(data), "--username", USER, "--auth", "trust")
        [port] = free_ports(1)
        options = [f"-c{key}={value}" for key, value in SETTINGS.items()]
        address = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        logs = Path(tempfile.mkdtemp(prefix="planet-postgres-log-"))
        try:
            with ProcessGroup(logs) as processes:
                command = [str(programs / "postgres"), "-D", str(data), *address, *options]
                processes.start("postgres", command, clean_environment(), user=user)
                ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
                processes.wait_until(
                    lambda: subprocess.run(ready, check=False).returncode == 0,
                    "PostgreSQL was not ready",
                    START_SECONDS,
                )
                _run(user, str(programs / "createdb"), *address[:4], "-U", USER, "airflow")
                yield PostgresMetadata(port, "airflow")
        finally:
            shutil.rmtree(logs)


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/").glob(PLACES), key=lambda folder: float(folder.parent.name))
    if not folders:
        raise PostgresMissingError(
            "PostgreSQL's server is missing. Install it with the system's package manager, e.g. "
            "`apt-get install postgresql`, `dnf install postgresql-server` or `brew install postgresql`."
        )
    return folders[-1]


def _run(user: str | None, *command: str) -> None:
    subprocess.run(
        command,
        cwd="/",
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        check=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
