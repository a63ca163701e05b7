"""Every day: order the new imagery of an area, wait without a worker, download, verify, and compute NDVI.

Copy it, draw your own `AOI`, and say where the imagery goes: the Airflow variable `planet_destination`.

A run looks for the scenes of its day when the day is over, at midnight UTC. Scenes appear some hours after
they were taken, a few only days later, and those it misses. A window that lies days back, for example from
`{{ data_interval_start.subtract(days=3) }}` to `{{ data_interval_end.subtract(days=3) }}`, misses fewer, and
delivers later. `planet_late_imagery` misses none.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, task, task_group

# airflow.sdk has the timetables from Airflow 3.2 on; this import works before, too.
from airflow.timetables.interval import CronDataIntervalTimetable

from planet_provider.builders import filters, tools
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sensors.orders import PlanetOrderSensor

# San Francisco: longitude and latitude in degrees, counter-clockwise, closed.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}
# A folder that every worker sees, or any ObjectStoragePath, e.g. s3://aws_default@my-bucket/planet.
DESTINATION = "{{ var.value.get('planet_destination', '/tmp/planet') }}/{{ data_interval_start | ds }}"
IMAGE, MASK = "ortho_analytic_4b_sr", "ortho_udm2"
# Small orders are delivered sooner. Planet takes 500 scenes in one.
SCENES_PER_ORDER = 2

with DAG(
    dag_id="planet_daily_imagery",
    doc_md=__doc__,
    # Each run has a day as its data interval. A plain "@daily" would give it an empty one in Airflow 3.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=2,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["planet", "example"],
) as dag:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=["PSScene"],
        geometry=AOI,
        search_filter=filters.and_filter(
            filters.range_filter("cloud_cover", lte=0.3),
            filters.asset_filter([IMAGE]),
            filters.permission_filter(),
            filters.std_quality_filter(),
        ),
        acquired_start="{{ data_interval_start }}",
        acquired_end="{{ data_interval_end }}",
        sort="acquired asc",  # the same scenes in the same order make the same batches again
        batch_size=SCENES_PER_ORDER,
        output_path=f"{DESTINATION}/scenes.geojson",
    )

    # Each batch goes its own way through a group of its own: one that fails holds up none of the others. Tasks
    # that are mapped one by one would wait for all batches at each step.
    @task_group(prefix_group_id=False)
    def imagery(items: dict[str, Any]) -> None:
        """Order, await, download and verify a batch of scenes, and compute its statistics.

        :param items: A batch of the search.
        """
        order = PlanetCreateOrderOperator(
            task_id="order",
            name="daily-imagery {{ data_interval_start | ds }}",
            items=items,
            product_bundle="analytic_sr_udm2",
            tools=[tools.clip(AOI)],
        )

        wait = PlanetOrderSensor(
            task_id="wait",
            order_id=order.output,
            deferrable=True,
            poke_interval=15,
            timeout=timedelta(hours=12).total_seconds(),
        )

        download = PlanetDownloadOrderOperator(
            task_id="download",
            order_id=order.output,
            destination=DESTINATION,
        )

        checksum = PlanetValidateChecksumOperator(
            task_id="checksum",
            path=download.output["directory"],
            checksum="sha256",
        )

        wait >> download
        checksum >> ndvi(download.output["files"])

    @task
    def ndvi(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Compute statistics of the vegetation index, (NIR - red) / (NIR + red), over the clear pixels.

        :param files: The records of an order's files.
        :return: ``{item_id, clear_pixels, mean, std, p10, median, p90}`` for each scene that has an image and its
            usable data mask; no statistics without clear pixels.
        """
        import numpy as np
        import rasterio

        paths: dict[str, dict[str, str]] = {}
        for file in files:
            if file["asset_type"] in (IMAGE, MASK):
                paths.setdefault(file["item_id"], {})[file["asset_type"]] = file["path"]
        results: list[dict[str, Any]] = []
        for item_id, found in sorted(paths.items()):
            if not (IMAGE in found and MASK in found):
                continue
            with ObjectStoragePath(found[IMAGE]).open("rb") as file, rasterio.open(file) as image:
                # Bands are blue, green, red and near infrared.
                red, near_infrared = image.read([3, 4]).astype("float64")
            with ObjectStoragePath(found[MASK]).open("rb") as file, rasterio.open(file) as mask:
                clear = mask.read(1) == 1
            total = red + near_infrared
            usable = clear & (total > 0)
            result: dict[str, Any] = {"item_id": item_id, "clear_pixels": int(usable.sum())}
            if result["clear_pixels"]:
                index = (near_infrared - red)[usable] / total[usable]
                p10, median, p90 = (round(float(value), 4) for value in np.percentile(index, [10, 50, 90]))
                mean, std = round(float(index.mean()), 4), round(float(index.std()), 4)
                result |= {"mean": mean, "std": std, "p10": p10, "median": median, "p90": p90}
            results.append(result)
        return results

    imagery.expand(items=search.output)
