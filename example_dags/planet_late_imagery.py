"""Miss no scene that appears late, and tell who works on whole days which days have got something new.

Most scenes are published within hours after they were taken, some only days later. A run that searches by the
time of *acquisition* alone never sees those: its day is over. Here a run searches by the time of *publication*:
its data interval is the window of `published`. Windows follow each other without a gap, so each scene is found
by exactly one run, however late it is, and a run that is repeated or backfilled finds the same scenes again.

`published` is the moment at which a scene enters the catalogue, and the search may know of it a little later.
So the window lies `SETTLED` behind the data interval. `acquired` is bounded too: what is older than `OLDEST`
comes from reprocessed archives.

Scenes of several days may come together, so what has arrived is filed by the day of acquisition, and each day
is a *partition* of the asset `planet_scenes_by_day`. On Airflow 3.3 and newer, `planet_late_imagery_day` runs
once for each partition; before that, once for the event, with all its days.

A scene that Planet publishes again (first as a preview, later finalized) keeps its `published`. To fetch those
again, add an `UpdateFilter`; docs/scheduling.md says how.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, ObjectStoragePath, get_current_context, task

# airflow.sdk has the timetables from Airflow 3.2 on; this import works before, too.
from airflow.timetables.interval import CronDataIntervalTimetable

from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator

try:
    from airflow.sdk import PartitionedAssetTimetable
except ImportError:  # before Airflow 3.2
    PartitionedAssetTimetable = None

# San Francisco: longitude and latitude in degrees, counter-clockwise, closed.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}
# A folder that every worker sees, or any ObjectStoragePath, e.g. s3://aws_default@my-bucket/planet.
BASE = "{{ var.value.get('planet_destination', '/tmp/planet') }}/late"
SETTLED = timedelta(hours=1)
OLDEST = timedelta(days=30)

by_day = Asset(name="planet_scenes_by_day", uri="x-planet://san-francisco/PSScene")


def moment(name: str, back: timedelta) -> str:
    """Return a template of a moment of the data interval, moved back in time."""
    return f"{{{{ {name}.subtract(seconds={back.total_seconds():.0f}) | ts }}}}"


with DAG(
    dag_id="planet_late_imagery",
    doc_md=__doc__,
    # Each run has a day as its data interval. A plain "@daily" would give it an empty one in Airflow 3.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    # A scheduler that was away for days makes up for the last of them only. With True it makes a run for each;
    # do that where no scene may be missed, and set start_date to the first day that you want.
    catchup=False,
    max_active_runs=2,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["planet", "example"],
) as dag:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=["PSScene"],
        geometry=AOI,
        # Written out, not built by planet_provider.builders.filters: that checks times, and these are templates.
        search_filter={
            "type": "AndFilter",
            "config": [
                {
                    "type": "DateRangeFilter",
                    "field_name": "published",
                    "config": {
                        "gte": moment("data_interval_start", SETTLED),
                        "lt": moment("data_interval_end", SETTLED),
                    },
                },
                {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lte": 0.5}},
                {"type": "AssetFilter", "config": ["ortho_visual"]},
                {"type": "PermissionFilter", "config": ["assets:download"]},
            ],
        },
        acquired_start=moment("data_interval_start", OLDEST),
        acquired_end="{{ data_interval_end }}",
        sort="published asc",  # the same scenes in the same order make the same batches again
        output_path=f"{BASE}/found/{{{{ data_interval_start | ds }}}}.ndjson",
    )

    order = PlanetCreateOrderOperator.partial(
        task_id="order",
        name="late-imagery {{ data_interval_start | ds }}",
        product_bundle="visual",
        # Waits in the triggerer.
        wait_for_completion=True,
        deferrable=True,
        poke_interval=15,
        timeout=timedelta(hours=12).total_seconds(),
    ).expand(items=search.output)

    download = PlanetDownloadOrderOperator.partial(
        task_id="download",
        destination=f"{BASE}/orders",
    ).expand(order_id=order.output)

    @task(outlets=[by_day])
    def file_by_day(
        found: dict[str, Any], deliveries: Iterable[list[dict[str, Any]]], base: str, window: str
    ) -> dict[str, int]:
        """Write one list of scenes for each day of acquisition, and announce these days.

        :param found: The search's summary.
        :param deliveries: The file records of each order.
        :param base: Folder of this DAG's files.
        :param window: Name of the run's window; a run that is repeated overwrites its own lists.
        :return: Scenes by day.
        """
        with ObjectStoragePath(found["output_path"]).open("r") as file:
            # Not line by line: before Airflow 3.2 what a path opens can't be iterated over.
            items = [json.loads(line) for line in file.read().splitlines()]
        day_of = {item["id"]: item["properties"]["acquired"][:10] for item in items}
        scenes: dict[str, dict[str, list[str]]] = {}
        for record in (record for files in deliveries for record in files):
            if record["item_id"] in day_of:
                day = scenes.setdefault(day_of[record["item_id"]], {})
                day.setdefault(record["item_id"], []).append(record["path"])
        for day, paths in scenes.items():
            folder = ObjectStoragePath(f"{base}/days/{day}")
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{window}.json").open("w") as file:
                json.dump(paths, file)
        event = get_current_context()["outlet_events"][by_day]
        event.extra["days"] = sorted(scenes)
        if hasattr(event, "add_partitions"):  # Airflow 3.3
            event.add_partitions(sorted(scenes))
        return {day: len(paths) for day, paths in sorted(scenes.items())}

    file_by_day(search.output["summary"], download.output["files"], BASE, "{{ data_interval_start | ds }}")


def has_partitions() -> bool:
    """Tell whether this Airflow lets a task name the partitions of its asset."""
    from airflow.sdk.execution_time.context import OutletEventAccessor

    return PartitionedAssetTimetable is not None and hasattr(OutletEventAccessor, "add_partitions")


with DAG(
    dag_id="planet_late_imagery_day",
    doc_md="Work on a whole day of acquisition each time that scenes of it have arrived, be it days later.",
    schedule=PartitionedAssetTimetable(assets=by_day) if has_partitions() else [by_day],
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["planet", "example"],
) as day_dag:

    @task
    def days() -> list[str]:
        """Return the days that this run is about: its partition, or all those of its events."""
        context = get_current_context()
        partition = getattr(context["dag_run"], "partition_key", None)
        if partition:
            return [partition]
        events = context["triggering_asset_events"][by_day]
        return sorted({day for event in events for day in event.extra.get("days", [])})

    @task(map_index_template="{{ day }}")
    def collect(day: str, base: str) -> dict[str, Any]:
        """Gather all that has arrived of a day so far; a mosaic or a statistic would be made of it here.

        :param day: Day of acquisition, UTC.
        :param base: Folder of the other DAG's files.
        :return: ``{day, scenes, files}``.
        """
        get_current_context()["day"] = day  # names the mapped task in the UI
        scenes: dict[str, list[str]] = {}
        for listed in sorted(ObjectStoragePath(f"{base}/days/{day}").iterdir(), key=str):
            with listed.open("r") as file:
                scenes |= json.load(file)
        return {"day": day, "scenes": sorted(scenes), "files": sum(map(len, scenes.values()))}

    collect.partial(base=BASE).expand(day=days())
