"""What each asset type is: its file, its bands and its radiometry. The only table of asset types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["radiance", "reflectance", "toa", "dn", "visual", "udm2", "udm", "bqa", "xml", "rpc", "txt"]

TIFF, XML, TEXT = "image/tiff", "text/xml", "text/plain"

FOUR_BANDS = ("blue", "green", "red", "nir")
EIGHT_BANDS = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")
RAPIDEYE_BANDS = ("blue", "green", "red", "rededge", "nir")
VISUAL_BANDS = ("red", "green", "blue", "alpha")
UDM2_BANDS = ("clear", "snow", "shadow", "light_haze", "heavy_haze", "cloud", "confidence", "udm1")


class UnknownAssetError(LookupError):
    """An asset type that the item type doesn't have."""


@dataclass(frozen=True)
class AssetSpec:
    """One asset type of one item type.

    :param suffix: What Planet appends to the item id to name the file.
    :param kind: Radiometry of an image, or the form of a text file.
    :param bands: Band names in file order; empty for text files.
    :param basic: In the sensor's geometry, not orthorectified.
    """

    suffix: str
    kind: Kind
    bands: tuple[str, ...] = ()
    basic: bool = False

    @property
    def media_type(self) -> str:
        """MIME type of the file."""
        return {"xml": XML, "rpc": TEXT, "txt": TEXT}.get(self.kind, TIFF)

    @property
    def is_mask(self) -> bool:
        """Whether the pixels are classes or flags, which must not be interpolated."""
        return self.kind in {"udm2", "udm", "bqa"}

    @property
    def outside(self) -> tuple[int, ...]:
        """Value of each band where there is no image: masks set their fill bit, the rest is 0."""
        fill = 1 if self.is_mask else 0
        return (*(0 for _ in self.bands[1:]), fill) if self.bands else ()

    @property
    def dtype(self) -> str:
        """The numpy type of an image's pixels."""
        return "uint8" if self.kind in {"visual", "udm2", "udm"} else "uint16"


def _planetscope() -> dict[str, AssetSpec]:
    specs = {"ortho_visual": AssetSpec("_3B_Visual.tif", "visual", VISUAL_BANDS)}
    for level, geometry, basic in (("1B", "basic", True), ("3B", "ortho", False)):
        specs[f"{geometry}_udm2"] = AssetSpec(f"_{level}_udm2.tif", "udm2", UDM2_BANDS, basic)
        for count, tail, bands in (("4b", "", FOUR_BANDS), ("8b", "_8b", EIGHT_BANDS)):
            name, stem = f"{geometry}_analytic_{count}", f"_{level}_AnalyticMS"
            specs[name] = AssetSpec(f"{stem}{tail}.tif", "radiance", bands, basic)
            specs[f"{name}_xml"] = AssetSpec(f"{stem}{tail}_metadata.xml", "xml", bands, basic)
            if not basic:
                specs[f"{name}_sr"] = AssetSpec(f"{stem}_SR{tail}.tif", "reflectance", bands)
    specs["basic_analytic_4b_rpc"] = AssetSpec("_1B_AnalyticMS_RPC.TXT", "rpc", (), True)
    return specs


def _skysat() -> dict[str, AssetSpec]:
    specs = {
        "ortho_visual": AssetSpec("_visual.tif", "visual", VISUAL_BANDS),
        "ortho_analytic_udm2": AssetSpec("_udm2.tif", "udm2", UDM2_BANDS),
        "ortho_analytic_sr": AssetSpec("_analytic_SR.tif", "reflectance", FOUR_BANDS),
        "ortho_pansharpened": AssetSpec("_pansharpened.tif", "dn", FOUR_BANDS),
        "basic_analytic": AssetSpec("_basic_analytic.tif", "radiance", FOUR_BANDS, True),
        "basic_analytic_rpc": AssetSpec("_basic_analytic_RPC.TXT", "rpc", (), True),
        "basic_analytic_udm": AssetSpec("_basic_analytic_udm.tif", "udm", ("udm",), True),
        "basic_analytic_udm2": AssetSpec("_basic_analytic_udm2.tif", "udm2", UDM2_BANDS, True),
    }
    for name, bands in (("analytic", FOUR_BANDS), ("panchromatic", ("pan",))):
        specs[f"ortho_{name}"] = AssetSpec(f"_{name}.tif", "radiance", bands)
        specs[f"ortho_{name}_dn"] = AssetSpec(f"_{name}_dn.tif", "dn", bands)
    for name in ("analytic", "panchromatic", "pansharpened"):
        specs[f"ortho_{name}_udm"] = AssetSpec(f"_{name}_udm.tif", "udm", ("udm",))
        specs.setdefault(f"ortho_{name}_udm2", AssetSpec(f"_{name}_udm2.tif", "udm2", UDM2_BANDS))
    return specs


_RAPIDEYE = {
    "analytic": AssetSpec("_Analytic.tif", "radiance", RAPIDEYE_BANDS),
    "analytic_sr": AssetSpec("_Analytic_SR.tif", "reflectance", RAPIDEYE_BANDS),
    "analytic_xml": AssetSpec("_Analytic_metadata.xml", "xml", RAPIDEYE_BANDS),
    "udm": AssetSpec("_udm.tif", "udm", ("udm",)),
    "visual": AssetSpec("_Visual.tif", "visual", VISUAL_BANDS),
    "visual_xml": AssetSpec("_Visual_metadata.xml", "xml", VISUAL_BANDS),
}

# Number of the mission's band to the band of the simulated spectrum.
_SENTINEL_BANDS = {
    "1": "coastal_blue",
    "2": "blue",
    "3": "green",
    "4": "red",
    "5": "rededge",
    "6": "rededge_740",
    "7": "nir",
    "8": "nir",
    "8a": "nir",
    "9": "water_vapour",
    "10": "cirrus",
    "11": "swir_1610",
    "12": "swir_2200",
}
_LANDSAT_BANDS = ("coastal_blue", "blue", "green", "red", "nir", "swir_1610", "swir_2200", "pan", "cirrus")

_SENTINEL = {
    **{
        f"analytic_b{number}": AssetSpec(f"_B{number.upper().zfill(2)}.tif", "toa", (band,))
        for number, band in _SENTINEL_BANDS.items()
    },
    "metadata_aux": AssetSpec("_metadata_aux.xml", "xml"),
    "visual": AssetSpec("_visual.tif", "visual", VISUAL_BANDS),
}
_LANDSAT = {
    **{
        f"analytic_b{number}": AssetSpec(f"_B{number}.tif", "toa", (band,))
        for number, band in enumerate((*_LANDSAT_BANDS, "thermal", "thermal"), start=1)
    },
    "analytic_bqa": AssetSpec("_BQA.tif", "bqa", ("bqa",)),
    "metadata_txt": AssetSpec("_MTL.txt", "txt"),
    "visual": AssetSpec("_visual.tif", "visual", VISUAL_BANDS),
}

ASSETS: dict[str, dict[str, AssetSpec]] = {
    "PSScene": _planetscope(),
    "SkySatCollect": {name: spec for name, spec in _skysat().items() if not spec.basic},
    "SkySatScene": _skysat(),
    "REOrthoTile": _RAPIDEYE,
    "Sentinel2L1C": _SENTINEL,
    "Landsat8L1G": _LANDSAT,
}


def lookup(item_type: str, asset_type: str) -> AssetSpec:
    """Find an asset type.

    :raises UnknownAssetError: The item type or its asset type doesn't exist.
    """
    try:
        return ASSETS[item_type][asset_type]
    except KeyError:
        raise UnknownAssetError(f"{item_type} has no asset type {asset_type!r}") from None


def with_suffix(file_name: str, *suffixes: str) -> str:
    """Insert tool suffixes before a file name's extension: ``a.tif``, ``clip`` to ``a_clip.tif``."""
    stem, extension = re.fullmatch(r"(.*?)(\.\w+)?", file_name).groups()  # type: ignore[union-attr]
    return "_".join((stem, *suffixes)) + (extension or "")
