"""An nginx of one's own: on free ports, in a folder of its own, gone with the block."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 10.0

_MAIN = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}worker_processes auto;
worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    sendfile on;
    keepalive_requests 1000000;
    open_file_cache max=2000 inactive=600s;
    open_file_cache_valid 600s;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
{servers}}}
"""


class ProgramMissingError(RuntimeError):
    """A program is not installed on this machine."""


def program(name: str, package: str | None = None) -> str:
    """Return a program's path.

    :param name: e.g. ``nginx``.
    :param package: The system's package that has it; by default of the same name.
    :raises ProgramMissingError: It is not there; the message says how to get it.
    """
    # Debian keeps servers where only root's PATH looks.
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if path is None:
        package = package or name
        raise ProgramMissingError(
            f"{name} is missing. Install it with the system's package manager, e.g. "
            f"`apt-get install {package}`, `dnf install {package}` or `brew install {package}`."
        )
    return path


def free_ports(count: int) -> list[int]:
    """Return as many different ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1.

    :return: The certificate, which clients have to trust, and its key.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
            *("-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def nginx(folder: Path, servers: str, ports: list[int], certificate: Path, key: Path) -> Iterator[None]:
    """Run nginx for the length of the block.

    :param folder: Its working folder.
    :param servers: ``server`` blocks, listening on 127.0.0.1.
    :param ports: What they listen on.
    :raises ProgramMissingError: There is none; the message says how to get one.
    """
    binary = program("nginx")
    config = folder / "nginx.conf"
    config.write_text(
        _MAIN.format(folder=folder, user=_user(), certificate=certificate, key=key, servers=servers)
    )
    process = subprocess.Popen(
        [binary, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not all(_answers(port) for port in ports):
            if process.poll() is not None or time.monotonic() > deadline:
                errors = folder / "error.log"
                raise RuntimeError(f"nginx did not start: {errors.read_text() if errors.exists() else ''}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def _user() -> str:
    """Let the workers of a nginx that root starts read what root wrote."""
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};\n"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
