"""Starting and stopping: in a thread, from the command line, in pytest."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from plain_http import Connect

from planet_provider.sandbox import (
    Fault,
    Sandbox,
    SandboxConfig,
    run,
)
from planet_provider.sandbox.cli import main
from planet_provider.sandbox.clock import SandboxClock

pytest_plugins = ("pytester",)


class TestThread:
    def test_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        gc.collect()
        threads = set(threading.enumerate())
        descriptors = len(os.listdir("/proc/self/fd"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with run(speed=60.0, items=400) as sandbox:
                urls = sandbox.url, sandbox.storage_url
                assert httpx.get(f"{sandbox.url}/sandbox/v1/health").status_code == 200
                assert list(tmp_path.iterdir()), "where delivered files are"
            gc.collect()
        assert set(threading.enumerate()) == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert list(tmp_path.iterdir()) == []
        for url in urls:
            with pytest.raises(httpx.ConnectError):
                httpx.get(url)

    @pytest.mark.slow
    def test_starts_and_stops_quickly(self) -> None:
        # Of its own work, since a busy machine may let it wait.
        started = time.process_time()
        with run():
            assert time.process_time() - started < 2
            stopping = time.monotonic()
        # aiohttp by itself may wait a minute.
        assert time.monotonic() - stopping < 30

    def test_stops_while_answers_are_under_way(self, connect: Connect) -> None:
        failures: list[Exception] = []
        with run(scene_pixels=64, items=400, rate_limits=False) as sandbox:
            url = connect(sandbox).signed_url()
            sandbox.faults.add(Fault(kind="stall", after_bytes=10, seconds=600))

            def read() -> None:
                try:
                    httpx.get(url, timeout=600)
                except httpx.TransportError as error:
                    failures.append(error)

            reader = threading.Thread(target=read)
            reader.start()
            while not sandbox.faults.snapshot()[0][1]:
                time.sleep(0.01)
            stopping = time.monotonic()
        reader.join(60)
        # aiohttp by itself waits a minute for answers that are under way.
        assert time.monotonic() - stopping < 30
        assert failures

    def test_several_at_once(self) -> None:
        with run(items=400) as one, run(items=400, speed=60.0) as two:
            assert len({one.url, one.storage_url, two.url, two.storage_url}) == 4
            assert (one.clock.speed, two.clock.speed) == (1.0, 60.0)

    def test_config_and_overrides(self) -> None:
        with run(SandboxConfig(speed=5.0, items=400), items=401) as sandbox:
            assert (sandbox.config.speed, sandbox.config.items) == (5.0, 401)
            assert len(sandbox.catalogue) == 401

    def test_a_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            threads = set(threading.enumerate())
            with pytest.raises(OSError, match="in use"), run(port=port, items=400):
                pass
            with pytest.raises(OSError, match="in use"), run(storage_port=port, items=400):
                pass
            assert set(threading.enumerate()) == threads

    def test_an_error_of_the_caller_is_passed_on(self) -> None:
        with pytest.raises(KeyError, match="mine"), run(items=400):
            raise KeyError("mine")

    def test_links_name_the_public_host(self) -> None:
        with run(host="0.0.0.0", items=400) as sandbox:
            assert sandbox.url.startswith("http://127.0.0.1:")
        with run(public_host="localhost", items=400) as sandbox:
            assert sandbox.url.startswith("http://localhost:")
            assert httpx.get(f"{sandbox.url}/sandbox/v1/health").status_code == 200

    def test_what_is_fixed_at_the_start(self) -> None:
        with run(items=400) as sandbox, pytest.raises(ValueError, match="items, port"):
            sandbox.reset(port=1, items=7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_keys", ()),
        ("api_keys", ("short",)),
        ("speed", 0.0),
        ("port", 99999),
        ("port", -1),
        ("storage_port", 65536),
        ("queued_seconds", -1.0),
        ("link_seconds", 0.0),
        ("items", 0),
        ("search_page_size", 251),
        ("orders_page_size", 0),
        ("empty_page_every", 1),
        ("retry_after", "soon"),
        ("rates", {"orders.nonsense": 1.0}),
        ("rates", {"orders.get": 0.0}),
    ],
)
def test_settings_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        SandboxConfig(**{name: value})  # type: ignore[arg-type]


def test_clock_never_runs_backwards() -> None:
    clock = SandboxClock(1.0)
    seen = [clock.now()]
    for speed in (1000.0, 0.001, 5.0):
        clock.speed = speed
        seen.append(clock.now())
        seen.append(clock.advance(0))
    assert seen == sorted(seen)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="speed"):
        clock.speed = 0


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "planet_provider.sandbox.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


class TestCommandLine:
    @pytest.mark.ci
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_start_and_stop(self, number: signal.Signals) -> None:
        fault = json.dumps({"kind": "status", "path": "/orders/v2", "status": 418})
        arguments = ("--speed", "60", "--no-rate-limits", "--api-keys", "PLAK-of-the-command-line")
        with process(*arguments, "--fault", fault, "--order-outcomes", "a=b=failed") as sandbox:
            assert sandbox.stdout is not None
            ready = json.loads(sandbox.stdout.readline())
            assert ready.keys() == {"url", "storage_url", "api_key"}
            assert ready["api_key"] == "PLAK-of-the-command-line"
            assert httpx.get(f"{ready['url']}/sandbox/v1/clock").json()["speed"] == 60
            auth = (ready["api_key"], "")
            statuses = [
                httpx.get(f"{ready['url']}/compute/ops/orders/v2", auth=auth).status_code for _ in range(5)
            ]
            assert statuses == [418, 200, 200, 200, 200]
            sandbox.send_signal(number)
            rest, errors = sandbox.communicate(timeout=60)
            assert (sandbox.returncode, rest, errors) == (0, "", "")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--speed", "0"], "speed must be > 0"),
            (["--speed", "fast"], "invalid float"),
            (["--fault", "{}"], "kind is required"),
            (["--fault", "nonsense"], "--fault"),
            (["--rates", "orders.get"], "NAME=VALUE"),
            (["--retry-after", "soon"], "invalid choice"),
            (["--nonsense"], "--nonsense"),
        ],
    )
    def test_bad_arguments(
        self, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert words in capsys.readouterr().err

    def test_a_port_in_use(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert main(["--port", str(taken.getsockname()[1])]) == 1
        assert "in use" in capsys.readouterr().err

    def test_help_describes_every_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        text = " ".join(capsys.readouterr().out.split())
        for name in SandboxConfig.__dataclass_fields__:
            assert f"--{name.replace('_', '-')}" in text
        assert "Sandbox seconds per real second." in text


class TestPlugin:
    @pytest.mark.ci
    def test_each_test_starts_clean(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import httpx
            import pytest
            from planet_provider.sandbox import Fault, SandboxConfig

            @pytest.fixture(scope="session")
            def planet_sandbox_config():
                return SandboxConfig(items=500, rate_limits=False)

            @pytest.mark.parametrize("time", [1, 2])
            def test_clean(planet_sandbox, time):
                assert len(planet_sandbox.catalogue) == 500
                assert planet_sandbox.requests == []
                assert planet_sandbox.faults.snapshot() == []
                assert planet_sandbox.clock.speed == 1.0
                planet_sandbox.faults.add(Fault(kind="status", status=418, times=None))
                planet_sandbox.clock.speed = 99
                url = planet_sandbox.url + "/compute/ops/orders/v2"
                assert httpx.get(url).status_code == 418
                assert len(planet_sandbox.requests) == 1

            @pytest.mark.planet_sandbox(speed=7.0)
            class TestSettings:
                def test_of_the_class(self, planet_sandbox):
                    assert planet_sandbox.clock.speed == 7.0

                @pytest.mark.planet_sandbox(list_lag_seconds=3)
                def test_of_the_test(self, planet_sandbox):
                    assert planet_sandbox.clock.speed == 7.0
                    assert planet_sandbox.config.list_lag_seconds == 3
            """
        )
        result = pytester.runpytest_subprocess("-q", "--strict-markers", "-p", "no:cacheprovider")
        result.assert_outcomes(passed=4)

    def test_is_light(self) -> None:
        code = (
            "import sys, planet_provider.sandbox.pytest_plugin, planet_provider.sandbox\n"
            "heavy = {'aiohttp', 'numpy', 'rasterio', 'shapely', 'pyproj', 'airflow', 'httpx'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    @pytest.mark.ci
    def test_without_the_extra(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import sys

            sys.modules["aiohttp"] = None
            """
        )
        pytester.makepyfile("def test_it(planet_sandbox): pass")
        result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*pip install 'airflow-provider-planet?sandbox?'*"])


def test_names_of_the_package() -> None:
    import planet_provider.sandbox as package

    assert {getattr(package, name).__name__ for name in package.__all__} == set(package.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018


def test_repr_shows_no_secret(planet_sandbox: Sandbox) -> None:
    assert planet_sandbox.api_key not in repr(planet_sandbox)
    assert planet_sandbox.config.password not in repr(planet_sandbox.config)
    assert planet_sandbox.config.oauth_client_secret not in repr(planet_sandbox.config)
