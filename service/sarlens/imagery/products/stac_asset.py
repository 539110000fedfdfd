"""Select an asset of a STAC Item, and read its URL, bands and acquisition metadata."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from sarlens.errors import AssetNotFound, SourceNotAllowed
from sarlens.imagery.core.bands import polarizations
from sarlens.stac import Acquisition, Asset, Item
from sarlens.types.render_params import Band, RenderParams

_TIFF_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff")
_TIFF_SUFFIXES = (".tif", ".tiff")
_SCHEMES = ("s3", "https")
_MAX_LISTED_KEYS = 32


def select_asset(item: Item, render: RenderParams) -> str:
    """The key of the asset to render.

    This is the asset that ``render.asset`` names, else the only TIFF with the role ``data``. Of several, it is the
    only one with all polarizations among ``render.bands``.

    Raises:
        AssetNotFound: there is no such asset, or several; the message lists the keys.
    """
    if render.asset is not None:
        if render.asset in item.assets:
            return render.asset
        raise _asset_not_found(item, f"The Item has no asset {render.asset!r}.")
    keys = [key for key, asset in item.assets.items() if "data" in (asset.roles or ()) and _is_tiff(asset)]
    requested = requested_polarizations(render.bands)
    if len(keys) > 1 and requested:
        keys = [key for key in keys if requested <= set(polarizations_of(item, key))]
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise _asset_not_found(item, 'Several assets of the Item are TIFFs with the role "data".')
    raise _asset_not_found(item, 'The Item has no TIFF asset with the role "data" and the requested bands.')


def requested_polarizations(bands: tuple[Band, ...] | None) -> set[str]:
    """The polarizations among bands."""
    return {band.upper() for band in bands or () if isinstance(band, str) and polarizations(band) == [band.upper()]}


def polarizations_of(item: Item, key: str) -> tuple[str, ...]:
    """The polarizations of an asset, in band order if its bands define them.

    They come from the asset, else from its key. The Item's own list covers all its assets together, so it defines an
    asset only if it has a single polarization.
    """
    asset = item.assets[key]
    if asset.polarizations:
        return asset.polarizations
    named = [name for band in asset.bands or () for name in polarizations(band.name or "")]
    if named or (named := polarizations(key)):
        return tuple(named)
    of_item = item.properties.polarizations or ()
    return of_item if len(of_item) == 1 else ()


def file_bands(item: Item, key: str, bands: tuple[Band, ...] | None) -> tuple[Band, ...] | None:
    """Bands as the asset's file names them: a file with one polarization has one band, which has no name."""
    of_asset, requested = polarizations_of(item, key), requested_polarizations(bands)
    single = len(of_asset) == 1 and len(item.assets[key].bands or ()) <= 1
    return (1,) * len(bands or ()) if single and requested == set(of_asset) else bands


def asset_url(item: Item, key: str, base: str | None) -> str:
    """The absolute URL of an asset; a relative one is resolved against ``base``, else against the ``self`` link.

    Args:
        item: the Item.
        key: key of the asset.
        base: URL of the Item, or None if the Item came with the request.

    Raises:
        SourceNotAllowed: the URL is neither s3:// nor https:, or is relative and there is no base.
    """
    url = _join_url(base or item.url or "", item.assets[key].href)
    if urlsplit(url).scheme.lower() in _SCHEMES:
        return url
    raise SourceNotAllowed(
        f"The asset {key[:64]!r} of the Item must have an s3:// or https: URL, or a URL relative to such an Item.",
        param="image_url",
    )


def acquisition_of(item: Item, key: str) -> Acquisition:
    """Acquisition metadata of an asset: its own fields, else those of the Item."""
    fields = item.properties.as_dict | item.assets[key].as_dict
    if of_asset := polarizations_of(item, key):
        fields["polarizations"] = of_asset
    return Acquisition.model_validate(fields | {"item": item.id, "asset": key})


def _is_tiff(asset: Asset) -> bool:
    if asset.type is not None:
        return asset.type.partition(";")[0].strip().lower() in _TIFF_TYPES
    return urlsplit(asset.href).path.lower().endswith(_TIFF_SUFFIXES)


def _join_url(base: str, href: str) -> str:
    """Resolve a reference against a base URL (RFC 3986, 5); s3:// URLs are resolved as https: URLs are."""
    try:
        if urlsplit(href).scheme:
            return href
        scheme, _, rest = base.partition("://")
        if scheme.lower() not in _SCHEMES or not rest:
            return ""
        return scheme + urljoin(f"https://{rest}", href).removeprefix("https")
    except ValueError:
        return ""


def _asset_not_found(item: Item, reason: str) -> AssetNotFound:
    keys = ", ".join(repr(key[:64]) for key in list(item.assets)[:_MAX_LISTED_KEYS])
    more = ", …" if len(item.assets) > _MAX_LISTED_KEYS else ""
    return AssetNotFound(
        f'{reason} Select one with "asset" in "sar". Assets: {keys or "none"}{more}.', param="sar.asset"
    )
