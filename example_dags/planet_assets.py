"""Activate and download single assets of an area's newest scenes, without an order.

An order is the better way to imagery in bulk. Assets are the way to one file of a scene as it is: here, the
picture for the eye.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

# airflow.sdk has the timetables from Airflow 3.2 on; this import works before, too.
from airflow.timetables.interval import CronDataIntervalTimetable

from planet_provider.builders import filters
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sensors.assets import PlanetAssetSensor

# San Francisco: longitude and latitude in degrees, counter-clockwise, closed.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}
# A folder that every worker sees, or any ObjectStoragePath, e.g. s3://aws_default@my-bucket/planet.
DESTINATION = "{{ var.value.get('planet_destination', '/tmp/planet') }}/assets/{{ data_interval_start | ds }}"
ASSET_TYPE = "ortho_visual"

with DAG(
    dag_id="planet_assets",
    doc_md=__doc__,
    # Each run has a day as its data interval. A plain "@daily" would give it an empty one in Airflow 3.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["planet", "example"],
) as dag:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=["PSScene"],
        geometry=AOI,
        search_filter=filters.and_filter(
            filters.range_filter("cloud_cover", lte=0.1),
            filters.asset_filter([ASSET_TYPE]),
            filters.permission_filter(),
        ),
        acquired_start="{{ data_interval_start }}",
        acquired_end="{{ data_interval_end }}",
        sort="acquired desc",
        limit=2,
    )

    @task
    def assets(batches: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Name the asset of each scene that was found.

        :param batches: From the search: ``{item_type, item_ids}`` each.
        :return: One ``{item_type, item_id, asset_type}`` a scene.
        """
        return [
            {"item_type": batch["item_type"], "item_id": item_id, "asset_type": ASSET_TYPE}
            for batch in batches
            for item_id in batch["item_ids"]
        ]

    wanted = assets(search.output)
    activate = PlanetActivateAssetOperator.partial(task_id="activate").expand_kwargs(wanted)
    wait = PlanetAssetSensor.partial(
        task_id="wait",
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    ).expand_kwargs(wanted)
    download = PlanetDownloadAssetOperator.partial(
        task_id="download",
        destination=DESTINATION,
    ).expand_kwargs(wanted)
    validate = PlanetValidateChecksumOperator.partial(
        task_id="validate",
        checksum="md5",  # the digest that Planet publishes of an asset
    ).expand_kwargs(download.output.map(lambda file: {"path": file["path"], "expected": file["md5"]}))

    activate >> wait >> download >> validate
