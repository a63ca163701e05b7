"""The secret file: whole, for its owner only, whatever the umask."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import planet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.client.auth import secret_file
from planet_provider.client.auth.secret_file import read_secret, store_secret
from planet_provider.exceptions import CredentialsError

KEY = "PLAK0123456789abcdef"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.guide("auth-store")
def test_written_for_the_owner_only_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    file = tmp_path / "secret.json"
    assert store_secret(KEY, file) == file
    assert mode(file) == 0o600
    store_secret("PLAK-another", file)
    assert mode(file) == 0o600
    assert os.listdir(tmp_path) == ["secret.json"], "nothing is left beside it"


def test_the_official_sdk_reads_it(no_credentials: Path) -> None:
    store_secret(KEY)
    assert (no_credentials / ".planet.json").exists()
    with pytest.warns(PendingDeprecationWarning):
        assert planet.Auth.from_file(no_credentials / ".planet.json")
    assert read_secret() == KEY


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"key": KEY}), encoding)
    file.chmod(0o600)
    assert read_secret(file) == KEY


def test_other_entries_stay(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"key": "old", "jwt": "kept", "nested": {"a": [1]}}))
    store_secret(f" {KEY}\n", file)
    assert json.loads(file.read_text()) == {"key": KEY, "jwt": "kept", "nested": {"a": [1]}}


@given(key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(" {}\n".format))
def test_what_is_stored_is_read(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    file = tmp_path_factory.mktemp("secret") / "secret.json"
    store_secret(key, file)
    assert read_secret(file) == key.strip()


@pytest.mark.parametrize("wider", [0o644, 0o660, 0o604, 0o777])
def test_one_that_others_may_read_is_repaired(
    tmp_path: Path, wider: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"key": KEY}))
    file.chmod(wider)
    assert read_secret(file) == KEY
    assert mode(file) == 0o600
    assert f"had mode {wider:04o}; it is 0600 now" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("narrow", [0o600, 0o400])
def test_a_good_one_is_left_alone(tmp_path: Path, narrow: int, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"key": KEY}))
    file.chmod(narrow)
    assert read_secret(file) == KEY
    assert mode(file) == narrow
    assert caplog.text == ""


def test_one_that_can_t_be_repaired_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a file is mounted read-only into a container."""
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"key": KEY}))
    file.chmod(0o644)

    def refuse(self: Path, _: int) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "chmod", refuse)
    assert read_secret(file) == KEY
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "that can't be changed: Read-only file system. Give it mode 0600" in caplog.text


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "there" / "secret.json")
    store_secret(KEY, link)
    assert link.is_symlink()
    assert read_secret(tmp_path / "there" / "secret.json") == KEY


def test_readers_see_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    store_secret("PLAK-0", file)
    ended = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not ended.is_set():
            seen.add(read_secret(file))

    reader = threading.Thread(target=read)
    reader.start()
    for index in range(200):
        store_secret(f"PLAK-{index}", file)
    ended.set()
    reader.join()
    assert seen <= {f"PLAK-{index}" for index in range(200)}


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret.json"
    store_secret(KEY, file)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_file.os, "fsync", full)
    with pytest.raises(CredentialsError, match="cannot be written: No space left"):
        store_secret("PLAK-another", file)
    assert read_secret(file) == KEY
    assert os.listdir(tmp_path) == ["secret.json"]


@pytest.mark.parametrize("content", ["", "PLAK", "[]", '"PLAK"', "7", "null"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret.json"
    file.write_text(content)
    with pytest.raises(CredentialsError, match="expected"):
        store_secret(KEY, file)
    assert file.read_text() == content


@pytest.mark.parametrize("key", ["", " ", None])
def test_an_empty_key_is_not_stored(tmp_path: Path, key: str) -> None:
    with pytest.raises(CredentialsError, match="is empty"):
        store_secret(key, tmp_path / "secret.json")


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="cannot be written: No such file"):
        store_secret(KEY, tmp_path / "missing" / "secret.json")


def test_a_home_that_is_missing() -> None:
    with pytest.raises(CredentialsError, match="cannot be found"):
        read_secret("~nobody-of-that-name/secret.json")
