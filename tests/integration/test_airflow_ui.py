"""What people see of this provider in Airflow's own pages, in a headless Chromium.

``make screenshots`` keeps the pictures for the docs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as so
from selenium.webdriver.support.ui import WebDriverWait
from shared_airflow import LONG_SECONDS, RUN_SECONDS, SharedAirflow

from planet_provider import get_provider_info
from planet_provider.client.api.links import order_page
from planet_provider.sandbox import SandboxConfig, run
from planet_provider.sandbox.bundles import choose

pytestmark = [pytest.mark.browser, pytest.mark.ci]

WAIT_SECONDS = 180.0
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)

DAG = """
from airflow.sdk import DAG

from planet_provider.operators.orders import PlanetCreateOrderOperator

with DAG(dag_id="imagery", schedule=None):
    PlanetCreateOrderOperator(
        task_id="order",
        name="San Francisco",
        planet_conn_id="pages",
        items=__ITEMS__,
        product_bundle="visual",
        wait_for_completion=True,
        deferrable=True,
    )
"""


@dataclass(frozen=True)
class Waiting:
    """An Airflow whose only task waits in the triggerer.

    :param url: Of the Airflow.
    :param planet_url: Of the sandbox.
    :param order_id: The order it waits for.
    """

    url: str
    planet_url: str
    order_id: str


@pytest.fixture(scope="module")
def waiting(airflow: SharedAirflow) -> Iterator[Waiting]:
    with run(SandboxConfig(queued_seconds=LONG_SECONDS, items=400)) as sandbox:
        orderable = [
            item.id
            for item in sandbox.catalogue
            if item.item_type == "PSScene" and choose(item, "visual") == "visual"
        ]
        items = {"item_type": "PSScene", "item_ids": orderable[:2]}
        airflow.add_connection("pages", sandbox.url, sandbox.api_key)
        airflow.add_dags(DAG.replace("__ITEMS__", repr(items)), "imagery")
        run_id = airflow.trigger("imagery", run_id="manual")
        airflow.processes.wait_until(
            lambda: [row.state for row in airflow.metadata.tasks(run_id)] == ["deferred"],
            "the task was not deferred",
            RUN_SECONDS,
        )
        (order_id,) = sandbox.orders
        yield Waiting(airflow.url, sandbox.url, order_id)
        sandbox.clock.advance(LONG_SECONDS + 60)
        airflow.wait_for_run("imagery", run_id, RUN_SECONDS)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
    service = webdriver.ChromeService(_program("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, f"{names[0]} is missing: `make chromium` installs it if it may"
    return found


@dataclass(frozen=True)
class Page:
    """The page that the browser shows."""

    browser: webdriver.Chrome

    def find(self, xpath: str) -> WebElement:
        """Wait until an element can be seen."""
        wait = WebDriverWait(self.browser, WAIT_SECONDS)
        return wait.until(so.visibility_of_element_located((By.XPATH, xpath)))

    def picture(self, name: str) -> None:
        """Keep what can be seen, where ``make screenshots`` wants it."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            path = Path(folder) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert self.browser.save_screenshot(str(path))


@pytest.fixture
def page(browser: webdriver.Chrome) -> Page:
    return Page(browser)


def test_a_wait_is_deferred_and_says_what_for(waiting: Waiting, page: Page) -> None:
    page.browser.get(f"{waiting.url}/dags/imagery/runs/manual/tasks/order")
    page.find("//*[text()='Deferred']")
    page.find("//*[text()='PlanetCreateOrderOperator']")
    # The log leads to the order too.
    assert page.find(f"//a[@href='{order_page(waiting.order_id, waiting.planet_url)}']")
    page.find(f"//*[contains(., 'Order {waiting.order_id} is queued: Preparing order')]")
    page.picture("deferred-wait")


def test_a_button_leads_to_the_order_while_it_is_waited_for(waiting: Waiting, page: Page) -> None:
    page.browser.get(f"{waiting.url}/dags/imagery/runs/manual/tasks/order/details")
    button = page.find("//a[text()='Order at Planet']")
    assert button.get_attribute("href") == order_page(waiting.order_id, waiting.planet_url)
    page.picture("order-link")


def test_the_connection_s_form(waiting: Waiting, page: Page) -> None:
    page.browser.get(f"{waiting.url}/connections")
    page.find("//button[contains(., 'Add Connection')]").click()
    kind = page.find("//div[@role='dialog']//input[@role='combobox']")
    kind.send_keys("planet")
    page.find("//*[@role='option' and contains(., 'Planet')]")
    kind.send_keys(Keys.ENTER)
    info = get_provider_info()["connection-types"][0]
    for label in info["ui-field-behaviour"]["relabeling"].values():
        page.find(f"//div[@role='dialog']//*[text()={json.dumps(label)}]")
    page.find("//div[@role='dialog']//input[@name='connection_id']").send_keys("planet_default")
    page.picture("connection-form")
    page.find("//div[@role='dialog']//button[normalize-space(.)='Extra Fields']").click()
    for field in info["conn-fields"].values():
        page.find(f"//div[@role='dialog']//*[contains(text(), {json.dumps(field['label'])})]")
    page.picture("connection-extras")
