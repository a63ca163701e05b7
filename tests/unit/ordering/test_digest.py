from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planet_provider.builders import delivery
from planet_provider.ordering.digest import (
    DIGEST_LENGTH,
    order_name,
    request_digest,
    same_products,
)

texts = st.text(min_size=1, max_size=8)
numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)
scalars = texts | numbers | st.booleans()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
products = st.lists(
    st.fixed_dictionaries(
        {
            "item_ids": st.lists(texts, min_size=1, max_size=4, unique=True),
            "item_type": st.sampled_from(["PSScene", "SkySatScene"]),
            "product_bundle": st.sampled_from(["visual", "analytic_udm2", "visual,analytic_udm2"]),
        }
    ),
    min_size=1,
    max_size=3,
)
requests = st.fixed_dictionaries(
    {"name": texts, "products": products},
    optional={
        "tools": st.lists(st.dictionaries(texts, values, max_size=3), max_size=3),
        "order_type": st.sampled_from(["full", "partial"]),
        "metadata": st.just({"stac": {}}),
        "subscription_id": st.integers(1, 10**6),
    },
)

S3 = delivery.delivery(
    delivery.amazon_s3(
        aws_access_key_id="AKIA",
        aws_secret_access_key="hunter2",
        bucket="bucket",
        aws_region="eu-west-1",
        path_prefix="a/",
    )
)
BASE: dict[str, Any] = {
    "name": "weekly",
    "products": [
        {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2"},
        {"item_ids": ["c"], "item_type": "SkySatScene", "product_bundle": "visual"},
    ],
    "tools": [
        {"clip": {"aoi": {"type": "Point", "coordinates": [10, 50.5]}}},
        {"reproject": {"projection": "EPSG:4326", "resolution": 3.0}},
    ],
    "delivery": S3,
    "order_type": "full",
}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(entry) for entry in value] if isinstance(value, list) else value


def respelt(value: Any) -> Any:
    """Whole numbers as floats, and floats that are whole as integers."""
    if isinstance(value, dict):
        return {key: respelt(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [respelt(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return float(value) if isinstance(value, int) else int(value) if value.is_integer() else value


def changed(path: str, value: Any) -> dict[str, Any]:
    """The base request with one thing different."""
    request = copy.deepcopy(BASE)
    place: Any = request
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return request


class TestStable:
    @given(requests)
    def test_over_the_order_of_keys(self, request: dict[str, Any]) -> None:
        assert request_digest(reversed_keys(request)) == request_digest(request)

    @given(requests, st.randoms(use_true_random=False))
    def test_over_the_order_of_items(self, request: dict[str, Any], random: Any) -> None:
        shuffled = copy.deepcopy(request)
        for product in shuffled["products"]:
            random.shuffle(product["item_ids"])
        assert request_digest(shuffled) == request_digest(request)

    @given(requests)
    def test_over_the_spelling_of_numbers(self, request: dict[str, Any]) -> None:
        assert request_digest(respelt(request)) == request_digest(request)
        assert request_digest(json.loads(json.dumps(request))) == request_digest(request)

    @pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, -0.0), (1e3, 1000), (0.1, 1e-1), (-2, -2.0)])
    def test_over_numbers(self, one: Any, other: Any) -> None:
        digests = {request_digest(changed("tools/1/reproject/resolution", value)) for value in (one, other)}
        assert len(digests) == 1

    @given(requests, texts)
    def test_over_names_and_notifications(self, request: dict[str, Any], name: str) -> None:
        other = {**request, "name": name, "notifications": {"email": True}}
        assert request_digest(other) == request_digest(request)

    @given(requests)
    def test_over_what_is_left_empty(self, request: dict[str, Any]) -> None:
        assert request_digest({**request, "hosting": None}) == request_digest(request)

    def test_over_tuples(self) -> None:
        as_tuple = {**BASE, "products": tuple(BASE["products"])}
        assert request_digest(as_tuple) == request_digest(BASE)

    @pytest.mark.parametrize("cloud", [name for name, fields in delivery.CREDENTIAL_FIELDS.items() if fields])
    def test_over_credentials(self, cloud: str) -> None:
        def digest(credential: str, bucket: str = "b") -> str:
            secrets = dict.fromkeys(delivery.CREDENTIAL_FIELDS[cloud], credential)
            return request_digest({**BASE, "delivery": {cloud: {"bucket": bucket, **secrets}}})

        assert digest("old key") == digest("new key")
        assert digest("old key") != digest("old key", bucket="another")

    def test_over_versions_of_this_package(self) -> None:
        """Another digest for the same content would order what is there already again."""
        assert request_digest(BASE) == "0380e6863275"

    @given(requests, texts)
    def test_it_changes_nothing(self, request: dict[str, Any], salt: str) -> None:
        before = copy.deepcopy(request)
        digest = request_digest(request, salt=salt)
        assert request == before
        assert re.fullmatch(rf"[0-9a-f]{{{DIGEST_LENGTH}}}", digest)


class TestSensitive:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("products/0/item_ids", ["a", "x"]),
            ("products/0/item_ids", ["a"]),
            ("products/0/item_type", "SkySatScene"),
            ("products/0/product_bundle", "visual"),
            ("products/0/product_bundle", "visual,analytic_udm2"),
            ("products/1", None),
            ("tools", None),
            ("tools/0", None),
            ("tools/0/clip/aoi/coordinates", [50.5, 10]),
            ("tools/1/reproject/resolution", 3.1),
            ("tools/1/reproject/resolution", "3"),
            ("tools/1/reproject/projection", "EPSG:3857"),
            ("delivery", None),
            ("delivery/amazon_s3/bucket", "another"),
            ("delivery/amazon_s3/path_prefix", "b/"),
            ("delivery/amazon_s3/aws_region", "us-east-1"),
            ("delivery", {"google_earth_engine": {"project": "p", "collection": "c"}}),
            ("delivery", {"destination": {"ref": "pl:destinations/one"}}),
            ("order_type", "partial"),
            ("subscription_id", 7),
            ("hosting", {"sentinel_hub": {}}),
            ("metadata", {"stac": {}}),
            ("source_type", "basemaps"),
        ],
    )
    def test_to_each_part(self, path: str, value: Any) -> None:
        assert request_digest(changed(path, value)) != request_digest(BASE)

    def test_to_where_it_goes(self) -> None:
        digests = {
            request_digest({**BASE, "delivery": {"destination": {"ref": f"pl:destinations/{one}"}}})
            for one in "abc"
        }
        assert len(digests) == 3

    def test_to_the_order_of_tools(self) -> None:
        """They are applied one after the other."""
        turned = {**BASE, "tools": BASE["tools"][::-1]}
        assert request_digest(turned) != request_digest(BASE)

    @given(requests, requests)
    def test_to_any_difference(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        def content(request: dict[str, Any]) -> str:
            kept = copy.deepcopy({key: value for key, value in request.items() if key != "name"})
            for product in kept["products"]:
                product["item_ids"].sort()
            # Numbers as JSON floats, so that 1 and 1.0 are one.
            return json.dumps(respelt(respelt(kept)), sort_keys=True, default=str)

        assume(content(one) != content(other))
        assume(content(respelt(one)) != content(other))
        assert request_digest(one) != request_digest(other)

    @given(requests, texts)
    def test_to_the_salt(self, request: dict[str, Any], salt: str) -> None:
        assert request_digest(request, salt=salt) != request_digest(request)
        assert request_digest(request, salt=salt) == request_digest(request, salt=salt)

    @pytest.mark.parametrize(
        ("one", "other"), [(1, "1"), (True, 1), (False, 0), ("true", True), ([], {}), ("", [])]
    )
    def test_to_types(self, one: Any, other: Any) -> None:
        assert request_digest({**BASE, "x": one}) != request_digest({**BASE, "x": other})


def test_order_name() -> None:
    assert order_name("weekly", "0123456789ab") == "weekly [0123456789ab]"


class TestSameProducts:
    def test_as_planet_gives_them_back(self) -> None:
        order = {"products": [dict(product) for product in reversed(BASE["products"])], "id": "x"}
        order["products"][1]["item_ids"] = ["b", "a"]
        assert same_products(BASE, order)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("products/0/item_ids", ["z"]),
            ("products/0/item_type", "z"),
            ("products/1/product_bundle", "z"),
            ("products/1", None),
        ],
    )
    def test_others(self, path: str, value: Any) -> None:
        assert not same_products(BASE, changed(path, value))

    def test_two_of_a_kind(self) -> None:
        one, other = ({**BASE["products"][0], "item_ids": ids} for ids in (["a"], ["b"]))
        assert same_products({"products": [one, other]}, {"products": [other, one]})
        assert not same_products({"products": [one, other]}, {"products": [one, one]})

    @pytest.mark.parametrize("order", [{}, {"products": None}, {"products": []}])
    def test_none_at_all(self, order: dict[str, Any]) -> None:
        assert not same_products(BASE, order)

    def test_the_order_of_quads_does_not_matter(self) -> None:
        one, other = (
            {"products": [{"mosaic_name": "m", "quad_ids": ids}]} for ids in (["1", "2"], ["2", "1"])
        )
        assert request_digest(one) == request_digest(other)

    def test_basemaps(self) -> None:
        quads = {"mosaic_name": "global_monthly", "quad_ids": ["1", "2"]}
        assert same_products({"products": [quads]}, {"products": [{**quads, "quad_ids": ["2", "1"]}]})
        for other in ({**quads, "mosaic_name": "other"}, {**quads, "quad_ids": ["3"]}):
            assert not same_products({"products": [quads]}, {"products": [other]})
