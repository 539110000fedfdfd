"""Which asset of a STAC Item is the image that is meant, where it lies, and how it was taken."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from sarlens.errors import AssetMissing, SourceRefused
from sarlens.imagery.bands import polarisations
from sarlens.request import Band, Render
from sarlens.stac import Acquisition, Asset, Item

_TIFF_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff")
_TIFF_NAMES = (".tif", ".tiff")
_SCHEMES = ("s3", "https")
_SHOWN = 32


def choose(item: Item, render: Render) -> str:
    """The key of the asset that is meant.

    It is the one that ``render.asset`` names, else the only TIFF with the role ``data``; of several, the only one
    that has all polarisations among ``render.bands``.

    Raises:
        AssetMissing: there is none of that name, none at all, or several; with the keys that there are.
    """
    if render.asset is not None:
        if render.asset in item.assets:
            return render.asset
        raise _missing(item, f"The Item has no asset {render.asset!r}.")
    fitting = [key for key, asset in item.assets.items() if "data" in (asset.roles or ()) and _is_tiff(asset)]
    wanted = asked(render.bands)
    if len(fitting) > 1 and wanted:
        fitting = [key for key in fitting if wanted <= set(polarisations_of(item, key))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise _missing(item, 'Several assets of the Item are TIFFs with the role "data".')
    raise _missing(item, 'No asset of the Item is a TIFF with the role "data" that has the bands asked for.')


def asked(bands: tuple[Band, ...] | None) -> set[str]:
    """The polarisations among bands."""
    return {band.upper() for band in bands or () if isinstance(band, str) and polarisations(band) == [band.upper()]}


def polarisations_of(item: Item, key: str) -> tuple[str, ...]:
    """The polarisations in an asset, in the order of its bands where it tells; of itself, else by its key, else none.

    The Item's own are those of all its assets together, so that they speak for one asset only where it is one alone.
    """
    asset = item.assets[key]
    if asset.polarizations:
        return asset.polarizations
    named = [name for band in asset.bands or () for name in polarisations(band.name or "")]
    if named or (named := polarisations(key)):
        return tuple(named)
    whole = item.properties.polarizations or ()
    return whole if len(whole) == 1 else ()


def bands_in(item: Item, key: str, bands: tuple[Band, ...] | None) -> tuple[Band, ...] | None:
    """Bands as the file knows them: what is of one polarisation has it in its only band, which has no name there."""
    within, wanted = polarisations_of(item, key), asked(bands)
    alone = len(within) == 1 and len(item.assets[key].bands or ()) <= 1
    return (1,) * len(bands or ()) if alone and wanted == set(within) else bands


def locate(item: Item, key: str, base: str | None) -> str:
    """The URL of an asset; relative ones are seen from ``base``, the Item's own URL, else from its link ``self``.

    Raises:
        SourceRefused: it is at neither s3:// nor https:, or relative to nothing.
    """
    href = item.assets[key].href
    url = _joined(base or item.url or "", href)
    if urlsplit(url).scheme.lower() in _SCHEMES:
        return url
    raise SourceRefused(
        f"The asset {key[:64]!r} of the Item has to lie at an s3:// or https: URL, or relative to an Item that does.",
        param="image_url",
    )


def acquisition_of(item: Item, key: str) -> Acquisition:
    """What the Item and the asset say of how the image was taken; the asset's word goes first."""
    told = item.properties.known | item.assets[key].known
    if within := polarisations_of(item, key):
        told["polarizations"] = within
    return Acquisition.model_validate(told | {"item": item.id, "asset": key})


def _is_tiff(asset: Asset) -> bool:
    if asset.type is not None:
        return asset.type.partition(";")[0].strip().lower() in _TIFF_TYPES
    return urlsplit(asset.href).path.lower().endswith(_TIFF_NAMES)


def _joined(base: str, href: str) -> str:
    """A reference seen from a URL (RFC 3986, 5); URLs of S3 are put together as those of the web are."""
    try:
        if urlsplit(href).scheme:
            return href
        scheme, _, rest = base.partition("://")
        if scheme.lower() not in _SCHEMES or not rest:
            return ""
        return scheme + urljoin(f"https://{rest}", href).removeprefix("https")
    except ValueError:
        return ""


def _missing(item: Item, reason: str) -> AssetMissing:
    keys = ", ".join(repr(key[:64]) for key in list(item.assets)[:_SHOWN])
    more = ", …" if len(item.assets) > _SHOWN else ""
    return AssetMissing(f'{reason} Name one with "asset" in sar; there are: {keys or "none"}{more}.', param="sar.asset")
