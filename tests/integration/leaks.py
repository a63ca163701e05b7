"""Looking for secrets in everything that an Airflow left behind."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.local_airflow import LocalAirflow
from demo.metadata import History, Metadata
from planet_provider.sandbox import Sandbox

# What makes a link a credential: Planet's token, and the signatures of the clouds it delivers from.
SIGNED = re.compile(
    rb"(?i)[?&](?:amp;)?"
    rb"(?:token|signature|sig|x-amz-signature|x-amz-credential|x-goog-signature|api_key)"
    rb"=[\w%.+/-]{6,}"
)


@dataclass(frozen=True)
class Secrets:
    """What must not be found.

    :param values: The very values, by what they are.
    """

    values: dict[bytes, str]

    @classmethod
    def of(cls, sandbox: Sandbox) -> Secrets:
        """Return the sandbox's API keys, and every token and signature that it was sent."""
        values: dict[bytes, str] = {}
        for key in sandbox.config.api_keys:
            values[key.encode()] = "API key"
            values[base64.b64encode(f"{key}:".encode())] = "API key in a header"
        for request in sandbox.requests:
            for name in ("token", "Signature"):
                if value := request.query.get(name):
                    # A link's token is long, and a database may cut it into pages: its end is as unique.
                    values[value[-40:].encode()] = f"{name} of a link"
        return cls(values)

    def found(self, place: str, content: bytes) -> Iterator[str]:
        """Yield what was found in a content, and where, without the secret itself."""
        for value, what in self.values.items():
            if value in content:
                yield f"{place}: {what}"
        for match in SIGNED.finditer(content):
            yield f"{place}: signed link {match[0][:12]!r}..."


def in_files(secrets: Secrets, folders: Iterable[Path]) -> list[str]:
    """Search all files below folders; compares bytes, so databases with deleted rows too."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [hit for path in files for hit in secrets.found(str(path), path.read_bytes())]


def in_database(secrets: Secrets, metadata: Metadata) -> list[str]:
    """Search every value of every table but the connections."""
    hits: list[str] = []
    for table in metadata.tables():
        if table == "connection":
            continue
        for row in metadata.query(f'SELECT * FROM "{table}"'):
            content = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
            hits += secrets.found(f"table {table}", content)
    return hits


def in_history(secrets: Secrets, history: History) -> list[str]:
    """Search what triggers and deferred tasks held while they waited."""
    rows = [*history.triggers.values(), *history.changes]
    return [hit for row in rows for hit in secrets.found(type(row).__name__, repr(row).encode())]


def everywhere(secrets: Secrets, airflow: LocalAirflow, history: History) -> list[str]:
    """Search logs, database (also its raw files) and history."""
    raw = [
        hit
        for path in sorted(airflow.home.glob("airflow.db*"))
        for hit in secrets.found(path.name, path.read_bytes())
    ]
    return [
        *in_files(secrets, airflow.log_folders),
        *in_database(secrets, airflow.metadata),
        *in_history(secrets, history),
        *raw,
    ]
