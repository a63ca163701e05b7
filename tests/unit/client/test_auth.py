from __future__ import annotations

import os
import traceback
from pathlib import Path

import httpx
import pytest

from planet_provider.client.auth.flows import ApiKeyAuth, api_key_from_env, default_api_key
from planet_provider.client.auth.secret_file import read_secret
from planet_provider.exceptions import CredentialsError

KEY = "PLAK0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "carried"),
    [
        ("https://api.planet.com/data/v1", True),
        ("https://API.PLANET.COM:443/x?y=z", True),
        ("http://api.planet.com/", False),
        ("https://api.planet.com:8443/", False),
        ("https://storage.example/", False),
        ("https://api.planet.com.evil.example/", False),
        ("https://api.planet.com@evil.example/", False),
    ],
)
def test_the_key_goes_home_only(url: str, carried: bool) -> None:
    request = httpx.Request("GET", url)
    flow = ApiKeyAuth(KEY, "https://api.planet.com").auth_flow(request)
    assert next(flow) is request
    assert request.headers.get("Authorization") == (f"api-key {KEY}" if carried else None)
    with pytest.raises(StopIteration):
        next(flow)


class TestEnvironment:
    def test_the_process_s_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert api_key_from_env() is None
        monkeypatch.setenv("PL_API_KEY", f" {KEY}\n")
        assert api_key_from_env() == KEY
        assert default_api_key() == KEY

    def test_another_variable(self) -> None:
        environ = {"TEAM_KEY": KEY, "EMPTY": "", "BLANK": "  "}
        assert api_key_from_env("TEAM_KEY", environ) == KEY
        assert api_key_from_env("EMPTY", environ) is None
        assert api_key_from_env("BLANK", environ) is None
        assert api_key_from_env("UNSET", environ) is None


class TestFile:
    def test_reads_the_sdk_s_file(self, no_credentials: Path) -> None:
        (no_credentials / ".planet.json").write_text(f'{{"key": " {KEY} "}}', encoding="utf-8")
        assert read_secret() == KEY
        assert default_api_key() == KEY

    def test_elsewhere(self, no_credentials: Path) -> None:
        (no_credentials / "team.json").write_text(f'{{"key": "{KEY}"}}', encoding="utf-8")
        assert read_secret("~/team.json") == KEY

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CredentialsError, match=r"nowhere\.json cannot be read: No such file"):
            read_secret(tmp_path / "nowhere.json")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CredentialsError, match="cannot be read: Is a directory"):
            read_secret(tmp_path)

    @pytest.mark.parametrize(
        "content", [b"", KEY.encode(), b'{"key": "' + KEY.encode(), b"\xff" + KEY.encode()]
    )
    def test_no_json(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "secret.json"
        file.write_bytes(content)
        with pytest.raises(CredentialsError, match="is not JSON; expected") as caught:
            read_secret(file)
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize(
        "content", ["{}", "[]", '"PLAK"', '{"key": 7}', '{"key": " "}', '{"api_key": "x"}']
    )
    def test_no_key(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "secret.json"
        file.write_text(content, encoding="utf-8")
        with pytest.raises(CredentialsError, match='holds no "key"; expected'):
            read_secret(file)


class TestDefault:
    def test_the_environment_comes_first(self, no_credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (no_credentials / ".planet.json").write_text('{"key": "from the file"}', encoding="utf-8")
        monkeypatch.setenv("PL_API_KEY", KEY)
        assert default_api_key() == KEY

    def test_none_anywhere(self) -> None:
        assert "PL_API_KEY" not in os.environ
        with pytest.raises(CredentialsError) as caught:
            default_api_key()
        for place in ("Airflow connection of type 'planet'", "PL_API_KEY", "~/.planet.json"):
            assert place in str(caught.value)

    def test_a_file_that_is_no_good_is_not_passed_over(self, no_credentials: Path) -> None:
        (no_credentials / ".planet.json").write_text("{}", encoding="utf-8")
        with pytest.raises(CredentialsError, match=r"\.planet\.json holds no"):
            default_api_key()
