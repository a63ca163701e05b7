"""Fetch a month of imagery that was taken before this DAG existed: one run a day, several days at a time.

```bash
airflow dags unpause planet_backfill_month
airflow backfill create --dag-id planet_backfill_month \\
    --from-date 2026-05-01 --to-date 2026-05-31 --max-active-runs 4
```

Both dates are included. Each run searches its own day, places one order, and waits for it without a worker,
so that days in flight cost next to nothing.

**It can be repeated.** An order is placed once: a day that is run again finds the order it placed before,
takes it up where it stands, and pays for nothing twice; files that are there and whole are not downloaded
again. So after an interruption, or when some days failed, run the same command with
`--reprocess-behavior failed`.

A day without imagery ends as a success with skipped tasks.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task_group

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
DESTINATION = "{{ var.value.get('planet_destination', '/tmp/planet') }}/month/{{ data_interval_start | ds }}"

with DAG(
    dag_id="planet_backfill_month",
    doc_md=__doc__,
    # A backfill makes one run for each data interval: here, a day.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=4,
    # A month of days must outlive a bad hour: tries lie further and further apart.
    default_args={
        "retries": 5,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
    },
    tags=["planet", "example"],
) as dag:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=["PSScene"],
        geometry=AOI,
        search_filter=filters.and_filter(
            filters.range_filter("cloud_cover", lte=0.1),
            filters.asset_filter(["ortho_visual"]),
            filters.permission_filter(),
        ),
        acquired_start="{{ data_interval_start }}",
        acquired_end="{{ data_interval_end }}",
        sort="acquired asc",  # the same scenes in the same order make the same order again
    )

    # A day with more scenes than Planet takes in one order has several batches, each with a way of its own.
    @task_group(prefix_group_id=False)
    def imagery(items: dict[str, Any]) -> None:
        """Order, await, download and verify a batch of scenes.

        :param items: A batch of the search.
        """
        order = PlanetCreateOrderOperator(
            task_id="order",
            name="month {{ data_interval_start | ds }}",
            items=items,
            product_bundle="visual",
            tools=[tools.clip(AOI)],
            # An order of an earlier run with the same content is taken up again, instead of paying twice.
            reuse="content",
        )

        wait = PlanetOrderSensor(
            task_id="wait",
            order_id=order.output,
            deferrable=True,
            timeout=timedelta(days=2).total_seconds(),
        )

        download = PlanetDownloadOrderOperator(
            task_id="download",
            order_id=order.output,
            destination=DESTINATION,
            max_active_tis_per_dag=2,  # days that download at a time, over all runs
        )

        PlanetValidateChecksumOperator(
            task_id="validate",
            path=download.output["directory"],
            checksum="sha256",
        )

        wait >> download

    imagery.expand(items=search.output)
