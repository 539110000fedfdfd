"""Select an asset of a STAC Item, and read its URL, bands and acquisition metadata."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from sarlens.errors import AssetNotFound, SourceNotAllowed
from sarlens.imagery.core.bands import polarizations
from sarlens.stac import Acquisition, Asset, Item
from sarlens.types.gdal_path import GDAL_PREFIX, describe_gdal_path
from sarlens.types.render_params import Band, RenderParams

_TIFF_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff")
_TIFF_SUFFIXES = (".tif", ".tiff")
_SCHEMES = ("s3", "https")
_DEFAULT_POLARIZATIONS = ("VV", "HH")
_MAX_LISTED_KEYS = 32


def select_assets(item: Item, render: RenderParams) -> tuple[str, ...]:
    """The keys of the assets to render: one, or one for each polarization among ``render.bands``.

    The asset is the one that ``render.asset`` names, else the only TIFF with the role ``data``, or the only TIFF if no
    TIFF has a role. Of several, it is the only one with all polarizations among ``render.bands``. Without bands it is
    the one with VV, else HH, as in a Sentinel-1 product.

    Raises:
        AssetNotFound: there is no such asset, or several; the message lists the keys.
    """
    if render.asset is not None:
        if render.asset in item.assets:
            return (render.asset,)
        raise _asset_not_found(item, f"The Item has no asset {render.asset!r}.")
    keys = _data_keys(item)
    if not keys:
        raise _asset_not_found(item, 'The Item has no TIFF asset with the role "data".')
    if len(keys) == 1:
        return (keys[0],)
    requested = requested_polarizations(render.bands)
    matching = [key for key in keys if requested <= set(polarizations_of(item, key))] if requested else []
    if len(matching) == 1:
        return (matching[0],)
    chosen = _one_per_band(item, keys, render.bands) if requested else _co_polarized(item, keys)
    if chosen and not matching:
        return chosen
    if requested and not matching:
        raise _asset_not_found(item, "No TIFF asset of the Item has the requested bands.")
    raise _asset_not_found(item, 'Several assets of the Item are TIFFs with the role "data".')


def _data_keys(item: Item) -> list[str]:
    tiffs = {key: asset.roles or () for key, asset in item.assets.items() if _is_tiff(asset)}
    return [key for key, roles in tiffs.items() if "data" in roles] or [
        key for key, roles in tiffs.items() if not roles
    ]


def _one_per_band(item: Item, keys: Sequence[str], bands: tuple[Band, ...] | None) -> tuple[str, ...]:
    """The only asset with each band, if all bands are polarizations; else nothing."""
    names = [str(band).upper() for band in bands or ()]
    of_band = {name: [key for key in keys if polarizations_of(item, key) == (name,)] for name in names}
    if any(len(candidates) != 1 for candidates in of_band.values()):
        return ()
    return tuple(of_band[name][0] for name in names)


def _co_polarized(item: Item, keys: Sequence[str]) -> tuple[str, ...]:
    """The only asset with VV, else the only one with HH."""
    for name in _DEFAULT_POLARIZATIONS:
        candidates = [key for key in keys if polarizations_of(item, key) == (name,)]
        if candidates:
            return (candidates[0],) if len(candidates) == 1 else ()
    return ()


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


def asset_urls(item: Item, key: str, base: str | None) -> list[str]:
    """The absolute URLs of an asset and of its alternates.

    A relative URL is resolved against ``base``, else against the ``self`` link.

    Args:
        item: the Item.
        key: key of the asset.
        base: URL of the Item, or None if the Item came with the request.

    Raises:
        SourceNotAllowed: no URL is s3:// or https:, or they are relative and there is no base.
    """
    asset = item.assets[key]
    hrefs = [asset.href, *(other.href for other in (asset.alternate or {}).values())]
    urls = [_join_url(base or item.url or "", href) for href in hrefs if not href.startswith(GDAL_PREFIX)]
    allowed = [url for url in urls if urlsplit(url).scheme.lower() in _SCHEMES]
    if allowed:
        return list(dict.fromkeys(allowed))
    hint = next((f" {hint}" for href in hrefs if (hint := describe_gdal_path(href))), "")
    raise SourceNotAllowed(
        f"The asset {key[:64]!r} of the Item must have an s3:// or https: URL, or a URL relative to such an Item."
        f"{hint}",
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
