"""A server between the client and the sandbox, which changes answers."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from oddities import OddBytes, OddJSON, Reply

from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.links import BUCKET
from raw_server import Asked, answering

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive"})
_keys = itertools.count()


@dataclass
class Front:
    """Where it listens, and what it does.

    :param skip: Answers that pass unchanged.
    :param lasting: Change every later answer, not only one.
    """

    sandbox: Sandbox
    url: str = ""
    odd: Sequence[OddJSON | OddBytes] = ()
    skip: int = 0
    lasting: bool = True
    key: str = ""
    _seen: itertools.count[int] = field(default_factory=itertools.count)

    def restart(self, odd: Sequence[OddJSON | OddBytes] = (), skip: int = 0, *, lasting: bool = True) -> None:
        """Change answers from here on like this, for a new account: the limiter remembers what one was told."""
        self.odd, self.skip, self.lasting = odd, skip, lasting
        self.key, self._seen = f"PLAK-fuzz-{next(_keys):032}", itertools.count()

    def answer(self, asked: Asked) -> Iterator[bytes]:
        """Have the sandbox answer, and change that."""
        reply, number = self._forwarded(asked), next(self._seen)
        if number == self.skip or (self.lasting and number > self.skip):
            for odd in self.odd:
                reply = odd.of(reply)
        yield reply.sent()

    def _forwarded(self, asked: Asked) -> Reply:
        method, target, _ = asked.line.split(" ")
        of_storage = target.startswith(f"/{BUCKET}/")
        origin = urlsplit(self.sandbox.storage_url if of_storage else self.sandbox.url)
        headers = {name: value for name, value in asked.headers.items() if name not in ("host", "connection")}
        if "authorization" in headers:
            headers["authorization"] = f"api-key {self.sandbox.api_key}"
        connection = http.client.HTTPConnection(origin.hostname or "", origin.port, timeout=10)
        try:
            connection.request(method, target, asked.body or None, headers)
            got = connection.getresponse()
            body, kept = got.read(), got.getheaders()
        finally:
            connection.close()
        if not of_storage:  # files are handed on as they are
            body = self._led_here(body.decode()).encode()
            kept = [one for one in kept if one[0].lower() != "content-length"]
            kept.append(("Content-Length", str(len(body))))
        headed = [(name, self._led_here(value)) for name, value in kept if name.lower() not in _HOP_BY_HOP]
        return Reply(got.status, (*headed, ("Connection", "close")), body)

    def _led_here(self, text: str) -> str:
        return text.replace(self.sandbox.url, self.url).replace(self.sandbox.storage_url, self.url)


@contextmanager
def front_of(sandbox: Sandbox) -> Iterator[Front]:
    """Serve for the length of the block."""
    front = Front(sandbox)
    with answering(front.answer) as server:
        front.url = server.url
        front.restart()
        yield front
