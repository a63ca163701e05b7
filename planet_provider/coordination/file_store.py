"""``file://``: the state of the rate limits of one machine, in a folder.

One small file a class. It is opened, locked, read, written and closed for each look, which takes some thirty
microseconds, so nothing has to be minded at a fork, a kill or when somebody removes the folder.
"""

from __future__ import annotations

import math
import os
import platform
import secrets
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from planet_provider.coordination.flock import LockedFile, check_own_folder
from planet_provider.coordination.slots import Slots
from planet_provider.coordination.store import Reservation, store_error

#: Format, epoch, monotonic and wall clock of the latest look, the slots; then their checksum.
_STATE = struct.Struct("<4s8s8d")
_FORMAT = b"PRL2"
_CHECKSUM = struct.Struct("<I")
_SIZE = _STATE.size + _CHECKSUM.size

#: The numbers of the slots, in the order of the file. ``astuple`` copies each: a third of a look.
_numbers = attrgetter(*(field.name for field in fields(Slots)))

#: Seconds to wait for the lock. It is held for microseconds, unless its holder is stopped.
LOCK_SECONDS = 1.0

#: Seconds after which files of earlier boots are removed.
_STALE_SECONDS = 86400.0

_Answer = TypeVar("_Answer")


@dataclass
class _State:
    epoch: bytes
    monotonic: float
    wall: float
    slots: Slots


class FileStore:
    """Slots for all processes of one machine.

    :param directory: Folder for the files; made if missing (0700). Its files are 0600.
    :param private: Refuse a folder that others may have made, or may write to: for one whose name can be guessed.
    :param monotonic: Seconds of a clock that all processes of the machine share, from any start.
    :param wall: The same, from the epoch. Of both clocks the one that says less time has passed is believed:
        so a clock that is stepped delays requests, but never lets too many through.
    """

    may_block = True

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        private: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._directory = os.fspath(directory)
        self._private = private
        self._monotonic = monotonic
        self._wall = wall

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        """Take the next free slot."""
        (slot, wait), epoch = self._look(key, lambda slots: slots.reserve(interval, max_wait))
        return Reservation(wait, slot, epoch)

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is."""
        wait, epoch = self._look(key, lambda slots: slots.until(reservation.slot))
        return wait if epoch == reservation.epoch else None

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down."""
        self._look(key, lambda slots: slots.hold(seconds, age))

    def _look(self, key: str, act: Callable[[Slots], _Answer]) -> tuple[_Answer, str]:
        """Do something with the slots as they are now.

        :return: What it returns, and the epoch.
        """
        path = f"{self._directory}/{_file_name(_boot(), key)}"
        try:
            try:
                return self._locked(path, act)
            except FileNotFoundError:
                Path(self._directory).mkdir(mode=0o700, parents=True, exist_ok=True)
                return self._locked(path, act)
        except OSError as error:
            what = "no slot of the rate limit can be taken"
            raise store_error(f"file://{self._directory}", what, error, stands_in=self._private) from error

    def _locked(self, path: str, act: Callable[[Slots], _Answer]) -> tuple[_Answer, str]:
        if self._private:
            check_own_folder(self._directory)
        with LockedFile(path, LOCK_SECONDS) as descriptor:
            data = os.pread(descriptor, _SIZE, 0)
            if not data:
                self._remove_stale()
            state = self._load(data)
            answer = act(state.slots)
            _save(descriptor, state)
        return answer, state.epoch.hex()

    def _load(self, data: bytes) -> _State:
        monotonic, wall = self._monotonic(), self._wall()
        state = _decode(data) or _State(secrets.token_bytes(8), monotonic, wall, Slots())
        state.slots.advance(max(0.0, min(monotonic - state.monotonic, wall - state.wall)))
        state.monotonic, state.wall = monotonic, wall
        return state

    def _remove_stale(self) -> None:
        """Remove what earlier boots left."""
        for entry in os.scandir(self._directory):
            with suppress(OSError):
                ours = entry.name.startswith(_boot()) or not entry.is_file(follow_symlinks=False)
                if not ours and entry.stat().st_size == _SIZE and _is_stale(entry):
                    os.unlink(entry.path)


def _save(descriptor: int, state: _State) -> None:
    body = _STATE.pack(_FORMAT, state.epoch, state.monotonic, state.wall, *_numbers(state.slots))
    data = body + _CHECKSUM.pack(zlib.crc32(body))
    if os.pwrite(descriptor, data, 0) != len(data):
        raise OSError("the state could not be written whole")


def _decode(data: bytes) -> _State | None:
    """Read a state; ``None`` where there is none, or not a whole one."""
    body, checksum = data[: _STATE.size], data[_STATE.size :]
    if len(data) != _SIZE or checksum != _CHECKSUM.pack(zlib.crc32(body)):
        return None
    _, epoch, monotonic, wall, *slots = _STATE.unpack(body)
    if not all(map(math.isfinite, (monotonic, wall, *slots))):
        return None
    return _State(epoch, monotonic, wall, Slots(*slots))


def _is_stale(entry: os.DirEntry[str]) -> bool:
    return time.time() - entry.stat().st_mtime > _STALE_SECONDS


@lru_cache(maxsize=64)
def _file_name(boot: str, key: str) -> str:
    return f"{boot}-{quote(key, safe=':')}"


@lru_cache(maxsize=1)
def _boot() -> str:
    """Name this machine since its start: its monotonic clock means nothing to others, nor after a reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux: there a reboot is seen as time that has not passed
        return quote(platform.node() or "machine", safe="")
