"""Product bundles: which asset types one ordered product delivers.

Names and members follow ``GET /compute/ops/bundles/spec`` for the item types of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planet_provider.sandbox.items import Item

SPEC_VERSION = "2024-08-12"
"""Edition of the public specification that the members were checked against."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One product bundle; the wording of ``rectification`` and ``radiometry`` is the specification's."""

    name: str
    description: str
    assets: Mapping[str, tuple[str, ...]] = field(hash=False)
    bands: str = "all"
    rectification: str = "orthorectified"
    radiometry: str = "at-sensor"
    file_type: str = "GeoTIFF"
    auxiliary_files: str = "udm2"


def _skysat(*asset_types: str) -> dict[str, tuple[str, ...]]:
    return {"SkySatCollect": asset_types, "SkySatScene": asset_types}


_SENTINEL_BANDS = ("1", "2", "3", "4", "5", "6", "7", "8", "8a", "9", "10", "11", "12")

BUNDLES: dict[str, Bundle] = {
    "analytic": Bundle(
        name="Analytic Radiance (TOAR)",
        description="Top-of-atmosphere radiance with the first usable data mask",
        auxiliary_files="udm",
        assets={
            "REOrthoTile": ("analytic", "analytic_xml", "udm"),
            **_skysat("ortho_analytic", "ortho_analytic_udm"),
            "Sentinel2L1C": (*(f"analytic_b{band}" for band in _SENTINEL_BANDS), "metadata_aux"),
            "Landsat8L1G": (*(f"analytic_b{band}" for band in range(1, 12)), "analytic_bqa", "metadata_txt"),
        },
    ),
    "analytic_udm2": Bundle(
        name="Analytic Radiance (TOAR) 4b",
        description="Top-of-atmosphere radiance, four bands",
        assets={
            "PSScene": ("ortho_analytic_4b", "ortho_analytic_4b_xml", "ortho_udm2"),
            **_skysat("ortho_analytic", "ortho_analytic_udm", "ortho_analytic_udm2"),
        },
    ),
    "analytic_8b_udm2": Bundle(
        name="Analytic Radiance (TOAR) 8b",
        description="Top-of-atmosphere radiance, eight bands",
        bands="8-band",
        assets={"PSScene": ("ortho_analytic_8b", "ortho_analytic_8b_xml", "ortho_udm2")},
    ),
    "analytic_sr": Bundle(
        name="Surface Reflectance",
        description="Surface reflectance with the first usable data mask",
        radiometry="surface reflectance",
        auxiliary_files="udm",
        assets={
            "REOrthoTile": ("analytic_sr", "udm", "analytic_xml"),
            **_skysat("ortho_analytic_sr", "ortho_analytic_udm"),
        },
    ),
    "analytic_sr_udm2": Bundle(
        name="Surface Reflectance 4b",
        description="Surface reflectance, four bands",
        radiometry="surface reflectance",
        assets={
            "PSScene": ("ortho_analytic_4b_sr", "ortho_analytic_4b_xml", "ortho_udm2"),
            **_skysat("ortho_analytic_sr", "ortho_analytic_udm", "ortho_analytic_udm2"),
        },
    ),
    "analytic_8b_sr_udm2": Bundle(
        name="Surface Reflectance 8b",
        description="Surface reflectance, eight bands",
        bands="8-band",
        radiometry="surface reflectance",
        assets={"PSScene": ("ortho_analytic_8b_sr", "ortho_analytic_8b_xml", "ortho_udm2")},
    ),
    "visual": Bundle(
        name="Visual",
        description="Red, green and blue, stretched for the eye",
        bands="3-band",
        radiometry="visual",
        auxiliary_files="",
        assets={
            "PSScene": ("ortho_visual",),
            "REOrthoTile": ("visual", "visual_xml"),
            **_skysat("ortho_visual"),
            "Sentinel2L1C": ("visual",),
            "Landsat8L1G": ("visual",),
        },
    ),
    "basic_analytic_udm2": Bundle(
        name="Basic Analytic Radiance (TOAR)",
        description="Radiance in the sensor's own geometry, with rational polynomial coefficients",
        rectification="non-orthorectified",
        file_type="TIFF and RPCs",
        assets={
            "PSScene": ("basic_analytic_4b", "basic_udm2", "basic_analytic_4b_rpc", "basic_analytic_4b_xml"),
            "SkySatScene": (
                "basic_analytic",
                "basic_analytic_rpc",
                "basic_analytic_udm",
                "basic_analytic_udm2",
            ),
        },
    ),
    "basic_analytic_8b_udm2": Bundle(
        name="Basic Analytic Radiance (TOAR) 8b",
        description="Eight bands of radiance in the sensor's own geometry, with polynomial coefficients",
        bands="8-band",
        rectification="non-orthorectified",
        file_type="TIFF and RPCs",
        assets={
            "PSScene": ("basic_analytic_8b", "basic_udm2", "basic_analytic_4b_rpc", "basic_analytic_8b_xml"),
        },
    ),
    "panchromatic": Bundle(
        name="Panchromatic",
        description="Panchromatic radiance with the first usable data mask",
        bands="panchromatic",
        auxiliary_files="udm",
        assets=_skysat("ortho_panchromatic", "ortho_panchromatic_udm"),
    ),
    "panchromatic_udm2": Bundle(
        name="Panchromatic",
        description="Panchromatic radiance",
        bands="panchromatic",
        assets=_skysat("ortho_panchromatic", "ortho_panchromatic_udm2"),
    ),
    "pansharpened": Bundle(
        name="Ortho-pansharpened",
        description="Four bands sharpened with the panchromatic one, with the first usable data mask",
        radiometry="digital numbers",
        auxiliary_files="udm",
        assets=_skysat("ortho_pansharpened", "ortho_pansharpened_udm"),
    ),
    "pansharpened_udm2": Bundle(
        name="Ortho-pansharpened",
        description="Four bands sharpened with the panchromatic one",
        radiometry="digital numbers",
        assets=_skysat("ortho_pansharpened", "ortho_pansharpened_udm", "ortho_pansharpened_udm2"),
    ),
}


def spec() -> dict[str, Any]:
    """Return the body of ``GET /compute/ops/bundles/spec``."""
    return {
        "bundles": {
            bundle_id: {
                "name": bundle.name,
                "description": bundle.description,
                "bands": bundle.bands,
                "rectification": bundle.rectification,
                "radiometry": bundle.radiometry,
                "fileType": bundle.file_type,
                "auxiliaryFiles": bundle.auxiliary_files,
                "assets": {item_type: list(assets) for item_type, assets in bundle.assets.items()},
            }
            for bundle_id, bundle in BUNDLES.items()
        },
        "version": SPEC_VERSION,
    }


def assets_for(item_type: str, product_bundle: str) -> list[str]:
    """List the asset types that a bundle delivers for an item type.

    :raises KeyError: No such bundle, or it has nothing for this item type.
    """
    return list(BUNDLES[product_bundle].assets[item_type])


def supports(item: Item, product_bundle: str) -> bool:
    """Tell whether a bundle exists for the item's type and the item has published all its assets."""
    bundle = BUNDLES.get(product_bundle)
    wanted = bundle.assets.get(item.item_type) if bundle else None
    return wanted is not None and set(wanted) <= set(item.assets)


def choose(item: Item, product_bundles: str) -> str | None:
    """Pick the bundle that an order delivers for an item.

    :param product_bundles: The order's ``product_bundle``: a bundle, then its fallbacks, comma-separated.
    :return: The first that the item supports and may be downloaded, or none.
    """
    for bundle_id in (part.strip() for part in product_bundles.split(",")):
        if supports(item, bundle_id) and all(
            item.may_download(asset_type) for asset_type in assets_for(item.item_type, bundle_id)
        ):
            return bundle_id
    return None
