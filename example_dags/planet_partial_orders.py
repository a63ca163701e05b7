"""Take what an order delivers, and order again only what is missing.

An order of the type `full`, which is Planet's default, fails as a whole where one item fails. One of the type
`partial` delivers the rest, and charges for the rest. This DAG downloads that at once, says what is missing
of which item type, and places a second order for just these items, with a fallback bundle.

Where nothing is missing, the second half is skipped, and the run is a success.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

# airflow.sdk has the timetables from Airflow 3.2 on; this import works before, too.
from airflow.timetables.interval import CronDataIntervalTimetable

from planet_provider.builders import filters
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator

# San Francisco: longitude and latitude in degrees, counter-clockwise, closed.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}
# A folder that every worker sees, or any ObjectStoragePath, e.g. s3://aws_default@my-bucket/planet.
DESTINATION = (
    "{{ var.value.get('planet_destination', '/tmp/planet') }}/partial/{{ data_interval_start | ds }}"
)

with DAG(
    dag_id="planet_partial_orders",
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
            filters.range_filter("cloud_cover", lte=0.3),
            filters.asset_filter(["ortho_visual"]),
            filters.permission_filter(),
        ),
        acquired_start="{{ data_interval_start }}",
        acquired_end="{{ data_interval_end }}",
        sort="acquired asc",  # the same scenes in the same order make the same batches again
        limit=4,
    )

    order = PlanetCreateOrderOperator.partial(
        task_id="order",
        name="partial-orders {{ data_interval_start | ds }}",
        product_bundle="visual",
        order_type="partial",
        # Waits in the triggerer; `partial` is as good as `success`.
        wait_for_completion=True,
        deferrable=True,
        allow_partial=True,
        # What a run may cost at most; refused before the order is placed.
        max_items=100,
        max_area_km2=100_000,
        timeout=timedelta(hours=12).total_seconds(),
    ).expand(items=search.output)

    download = PlanetDownloadOrderOperator.partial(
        task_id="download",
        destination=DESTINATION,
    ).expand(order_id=order.output)

    @task
    def missing(orders: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Collect what was not delivered, as batches to order again.

        :param orders: The summaries of all orders.
        :return: ``{item_type, item_ids}`` each; empty where nothing is missing.
        """
        return [batch for summary in orders for batch in summary["missing"]]

    order_again = PlanetCreateOrderOperator.partial(
        task_id="order_again",
        name="partial-orders {{ data_interval_start | ds }} again",
        product_bundle="visual",
        fallback_bundles=["analytic_udm2"],
        wait_for_completion=True,
        deferrable=True,
        timeout=timedelta(hours=12).total_seconds(),
    ).expand(items=missing(order.output["order"]))

    download_again = PlanetDownloadOrderOperator.partial(
        task_id="download_again",
        destination=f"{DESTINATION}/again",
    ).expand(order_id=order_again.output)
