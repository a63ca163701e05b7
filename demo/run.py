"""``make demo``: a real Airflow orders, awaits, fetches and verifies a day of imagery from a local Planet."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.local_airflow import LocalAirflow, RunFailedError
from demo.metadata import Recorder
from demo.processes import REPOSITORY, ComponentError, ProcessGroup, ended_by_signals
from demo.sandbox import SandboxProcess, start_sandbox
from demo.settings import as_environment
from demo.table import Delivered, RunView, files_table, make_console, ndvi_table, step

DAG_ID = "planet_daily_imagery"
DAGS = REPOSITORY / "example_dags"
ORDER_SECONDS = {"queued": 3, "running": 16}
"""Real seconds an order takes: enough to be deferred, little enough to watch."""
SCENE_PIXELS = 768
DAYS_BACK = 2
"""The day before yesterday: everything of it has been published."""
RUN_SECONDS = 480.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    :param argv: Arguments; by default those of the process.
    :return: Exit status: 0 if everything was delivered and verified, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__)
    parser.add_argument(
        "--keep-open", action="store_true", help="leave Airflow open in the browser until Ctrl-C"
    )
    parser.add_argument(
        "--folder", type=Path, default=REPOSITORY / ".demo", help="where everything is written"
    )
    options = parser.parse_args(argv)
    console = make_console()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with ended_by_signals():
            return _demo(console, folder, keep_open=options.keep_open)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    except (ComponentError, RunFailedError) as error:
        console.print(str(error), markup=False, style="red", soft_wrap=True)
        return 1


def _demo(console: Console, folder: Path, *, keep_open: bool) -> int:
    destination = folder / "imagery"
    with ExitStack() as stack:
        stack.callback(lambda: console.print("Everything has been stopped."))
        processes = stack.enter_context(ProcessGroup(folder / "sandbox"))
        with step(console, "Starting a local Planet"):
            sandbox = _start_sandbox(processes)
        airflow = LocalAirflow(
            folder / "airflow",
            DAGS,
            # What comes from the environment isn't on Airflow's pages.
            connections={} if keep_open else {"planet_default": sandbox.connection()},
            variables={} if keep_open else {"planet_destination": str(destination)},
        )
        with step(console, "Starting Airflow: api-servers, scheduler, dag-processor, triggerer"):
            stack.enter_context(airflow)
            if keep_open:
                _define(airflow, sandbox, destination)
            airflow.wait_for_dag(DAG_ID)
        run_id = _run(console, airflow)
        complete = report(console, airflow, run_id, destination)
        if keep_open:
            _keep_open(console, airflow)
        stack.callback(lambda: console.print("Stopping everything …"))
    return 0 if complete else 1


def _start_sandbox(processes: ProcessGroup) -> SandboxProcess:
    seconds = [
        option for name, value in ORDER_SECONDS.items() for option in (f"--{name}-seconds", str(value))
    ]
    return start_sandbox(processes, *seconds, "--scene-pixels", str(SCENE_PIXELS))


def _run(console: Console, airflow: LocalAirflow) -> str:
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight - timedelta(days=DAYS_BACK)
    airflow.unpause(DAG_ID)
    run_id = airflow.trigger(DAG_ID, run_id=f"demo-{day:%Y-%m-%d}", interval=(day, day + timedelta(days=1)))
    title = f"{DAG_ID}, {day:%Y-%m-%d}"
    with Recorder(airflow.metadata) as recorder, RunView(console, title) as view:
        airflow.wait_for_run(
            DAG_ID, run_id, RUN_SECONDS, progress=lambda: view.update(airflow.metadata.tasks(run_id))
        )
    waits = {row.map_index for row, _ in recorder.history.deferrals(DAG_ID, run_id, "wait")}
    console.print(f"{len(waits)} waits were deferred: held by the triggerer, not by a worker.")
    return run_id


def report(console: Console, airflow: LocalAirflow, run_id: str, destination: Path) -> bool:
    """Show what a run has delivered: every file, compared with its digest, the statistics, and a picture.

    :param console: Where it is shown.
    :param airflow: The Airflow that the run ended in.
    :param run_id: The run.
    :param destination: Folder of all imagery; the picture goes beside it.
    :return: Whether something was delivered and every file has its digest.
    """
    folders = _xcoms(airflow, run_id, "download", "directory")
    deliveries = dict(zip(folders, _xcoms(airflow, run_id, "download", "files"), strict=True))
    delivered = [
        _verified(file, Path(folder), destination) for folder, files in deliveries.items() for file in files
    ]
    console.print(files_table(delivered, destination))
    statistics = list(chain.from_iterable(_xcoms(airflow, run_id, "ndvi", "return_value")))
    console.print(ndvi_table(statistics))
    picture = destination.parent / "imagery.png"
    with step(console, "Drawing the picture"):
        _draw(airflow, run_id, picture, chain.from_iterable(deliveries.values()), statistics)
    console.print(f"Picture of footprints and quicklooks: [bold]{picture}[/]", soft_wrap=True)
    return bool(delivered) and all(file.verified for file in delivered)


def _xcoms(airflow: LocalAirflow, run_id: str, task_id: str, key: str) -> list[Any]:
    """Return an XCom of every instance of a mapped task, in order."""
    indexes = sorted(row.map_index for row in airflow.metadata.tasks(run_id) if row.task_id == task_id)
    return [airflow.xcom(DAG_ID, run_id, task_id, key, index) for index in indexes if index >= 0]


def _verified(record: Mapping[str, Any], folder: Path, destination: Path) -> Delivered:
    path = Path(record["path"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Delivered(
        folder=folder.relative_to(destination),
        name=path.relative_to(folder),
        size=path.stat().st_size,
        sha256=digest,
        verified=digest == record["sha256"],
    )


def _draw(
    airflow: LocalAirflow,
    run_id: str,
    picture: Path,
    records: Iterable[Mapping[str, Any]],
    statistics: Sequence[Mapping[str, Any]],
) -> None:
    # Deferred: matplotlib may have to build its font cache first.
    from demo.picture import Scene, draw  # noqa: PLC0415

    found = Path(airflow.xcom(DAG_ID, run_id, "search", "summary")["output_path"])
    items = {item["id"]: item for item in json.loads(found.read_text())["features"]}
    rendered = airflow.request("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/search")[
        "rendered_fields"
    ]
    paths = {(file["item_id"], file["asset_type"]): Path(file["path"]) for file in records}
    scenes = [
        Scene(
            item=items[scene["item_id"]],
            image=paths[scene["item_id"], "ortho_analytic_4b_sr"],
            mask=paths[scene["item_id"], "ortho_udm2"],
            statistics=scene,
        )
        for scene in statistics
    ]
    scenes.sort(key=lambda scene: str(scene.item["properties"]["acquired"]))
    day = str(rendered["acquired_start"])[:10]
    draw(picture, f"PlanetScope over San Francisco, {day}", rendered["geometry"], scenes)


def _define(airflow: LocalAirflow, sandbox: SandboxProcess, destination: Path) -> None:
    """Define the connection and the variable as a user does, so that Airflow's pages show them."""
    connection = json.loads(sandbox.connection())
    extra = json.dumps(connection.pop("extra", {}))
    airflow.request(
        "POST", "/connections", json={"connection_id": "planet_default", **connection, "extra": extra}
    )
    airflow.request("POST", "/variables", json={"key": "planet_destination", "value": str(destination)})


def _keep_open(console: Console, airflow: LocalAirflow) -> None:
    # From here on a DAG that is unpaused runs on its schedule, as in an Airflow of one's own.
    airflow.environment |= as_environment({"scheduler": {"use_job_schedule": True}})
    airflow.kill("scheduler")
    airflow.start("scheduler")
    console.print(
        f"\nAirflow is open at [bold]{airflow.url}/dags/{DAG_ID}[/]  (no login; Ctrl-C ends it)",
        soft_wrap=True,
    )
    with suppress(KeyboardInterrupt):
        while True:
            airflow.processes.check()
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
