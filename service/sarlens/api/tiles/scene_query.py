"""The query string that names a scene and how it looks, of all routes about scenes."""

from __future__ import annotations

from typing import Annotated, NamedTuple
from urllib.parse import urlencode

from fastapi import Depends, Query, Request

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.url_query import UrlQuery
from sarlens.chat.query import parse_render, parse_render_query, parse_urls
from sarlens.errors import BadRequest
from sarlens.imagery.service.scene_service import OpenScene, SceneService
from sarlens.types.image_request import BandUrls, ImageRequest
from sarlens.types.render_params import Bursts, Calibration, Filter, Noise, Preset, RenderParams, Scale


class SceneQuery(NamedTuple):
    """A scene, and how it looks."""

    url: str | BandUrls
    """URL of the image or STAC Item, or the URLs of the bands."""
    render: RenderParams
    """Render parameters without a window."""
    query: str
    """The same as a query string, for links."""

    @property
    def image_request(self) -> ImageRequest:
        """The image request."""
        return ImageRequest(self.url, self.render)


def parse_scene_query(
    url: UrlQuery,
    polarization: Annotated[str | None, Query(description="The same as `bands`, such as `VV` or `VV,VH`")] = None,
    bands: Annotated[str | None, Query(description="Band names or numbers, such as `VV` or `1,2`")] = None,
    asset: Annotated[str | None, Query(description="Key of an asset, if the image is a STAC Item")] = None,
    swath: Annotated[str | None, Query(description="Swath of a product, such as `IW1`")] = None,
    bursts: Annotated[Bursts | None, Query(description="`keep` stacks the bursts of an SLC swath")] = None,
    preset: Annotated[Preset | None, Query(description="Defaults of the other parameters")] = None,
    filter: Annotated[Filter | None, Query(description="Speckle filter")] = None,  # noqa: A002  the name of the field in ``sar``
    scale: Annotated[Scale | None, Query(description="Scale of the pixels")] = None,
    calibration: Annotated[Calibration | None, Query(description="Backscatter coefficient to compute")] = None,
    noise: Annotated[Noise | None, Query(description="`keep` calibrates without removing the noise")] = None,
    nodata: Annotated[str | None, Query(description="Stored number of pixels without a measurement")] = None,
    stretch: Annotated[str | None, Query(description="Two percentiles of the whole scene, such as `2,98`")] = None,
) -> SceneQuery:
    """Parse the query string.

    Raises:
        BadRequest: a parameter is invalid.
    """
    if polarization is not None and bands is not None:
        raise BadRequest("Send either polarization or bands, which mean the same.", param="polarization")
    named = {
        "bands": bands or polarization,
        "asset": asset,
        "swath": swath,
        "bursts": bursts,
        "preset": preset,
        "filter": filter,
    }
    named |= {"scale": scale, "calibration": calibration, "noise": noise, "nodata": nodata, "stretch": stretch}
    fields = {name: text for name, text in named.items() if text is not None}
    render = parse_render(parse_render_query(fields), "sar") or RenderParams()
    return SceneQuery(parse_urls(url, "url"), render, urlencode({"url": url, **fields}, doseq=True))


SceneQueryParams = Annotated[SceneQuery, Depends(parse_scene_query)]
"""Parameter of a route: the scene that the query string names."""


async def open_scene(
    request: Request, scenes: SceneService, authorizer: Authorizer, query: SceneQuery, *, any_swath: bool = False
) -> OpenScene:
    """Check the API key and its quota, and open a scene; with ``any_swath``, as ``SceneService.open``.

    Raises:
        PermissionDenied, QuotaExceeded: the key doesn't allow the image, or has used up its requests.
        SarlensError: the image can't be opened.
    """
    caller = request.state.context
    await authorizer.authorize_preview(caller.key, query.image_request)
    return await scenes.open(query.image_request, caller.policy, any_swath=any_swath)
