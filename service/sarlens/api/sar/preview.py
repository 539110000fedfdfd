"""``GET /v1/sar/picture``: the picture that a model would see, for people who would rather look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from sarlens.api.common.auth import Authorizer
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import HEADERS_ONLY, has_etag
from sarlens.api.common.url_query import UrlQuery
from sarlens.chat.query import parse_render, parse_render_query, parse_urls
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.inference.pipeline import InferencePipeline
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import Bursts, Calibration, Filter, Noise, Orient, Preset, RenderParams, Scale


async def resolve_preview(
    inference: InferencePipeline,
    authorizer: Authorizer,
    image_request: ImageRequest,
    model: str | None,
    caller: RequestContext,
) -> ResolvedImage:
    """Open the image of a preview, which counts as one request; ``model`` sets its size.

    Raises:
        SarlensError: the caller isn't allowed, or the image can't be opened.
    """
    # The size shows nothing about models that the caller can't use.
    known_model = model if model is None or caller.policy.can_use(model) else ""
    await authorizer.authorize_preview(caller.key, image_request)
    profile = inference.profile(known_model)
    return await inference.image_service.resolve(profile.image_request(image_request), profile.size, caller.policy)


def preview_router(inference: InferencePipeline, authorizer: Authorizer) -> APIRouter:
    """The route that shows a rendering."""
    router = APIRouter(tags=["images"])

    @router.get("/v1/sar/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def picture(
        request: Request,
        url: UrlQuery,
        model: Annotated[str | None, Query(description="Model that sets the default of `size`")] = None,
        window: Annotated[
            str | None, Query(description="`col,row,width,height` in pixels of the full resolution")
        ] = None,
        bbox: Annotated[str | None, Query(description="`west,south,east,north` in `bbox_crs`")] = None,
        bbox_crs: Annotated[
            str | None, Query(description="CRS of `bbox`, such as `EPSG:32631`. Default: CRS84, longitude and latitude")
        ] = None,
        polygon: Annotated[str | None, Query(description="GeoJSON polygons in longitude and latitude")] = None,
        asset: Annotated[str | None, Query(description="Key of an asset, if the image is a STAC Item")] = None,
        bands: Annotated[str | None, Query(description="Band names or numbers, such as `VV` or `1,2`")] = None,
        swath: Annotated[str | None, Query(description="Swath of a product, such as `IW1`")] = None,
        bursts: Annotated[Bursts | None, Query(description="`keep` stacks the bursts of an SLC swath")] = None,
        preset: Annotated[Preset | None, Query(description="Defaults of the other parameters")] = None,
        filter: Annotated[Filter | None, Query(description="Speckle filter")] = None,  # noqa: A002  the name of the field in ``sar``
        scale: Annotated[Scale | None, Query(description="Scale of the pixels")] = None,
        calibration: Annotated[Calibration | None, Query(description="Backscatter coefficient to compute")] = None,
        noise: Annotated[Noise | None, Query(description="`keep` calibrates without removing the noise")] = None,
        nodata: Annotated[str | None, Query(description="Stored number of pixels without a measurement")] = None,
        looks: Annotated[
            str | None, Query(description="Pixels averaged along a row and a column, such as `4,1`")
        ] = None,
        stretch: Annotated[str | None, Query(description="Two percentiles, such as `2,98`")] = None,
        size: Annotated[str | None, Query(description="Longest side in pixels")] = None,
        enlarge: Annotated[str | None, Query(description="Largest factor by which a small picture is enlarged")] = None,
        orient: Annotated[Orient | None, Query(description="`north` flips or turns the picture to north up")] = None,
    ) -> Response:
        """Render an image as a model sees it.

        The parameters are the fields of the `sar` object. The `ETag` is the image id. The header `Sarlens-Radiometry`
        is `relative` or the backscatter coefficient, such as `sigma0` or `sigma0_noise_kept`. With
        `If-None-Match` and the same image, the response is 304.
        """
        fields = {"window": window, "asset": asset, "bands": bands, "preset": preset, "filter": filter}
        fields |= {"bbox": bbox, "bbox_crs": bbox_crs, "polygon": polygon, "calibration": calibration, "noise": noise}
        fields |= {"nodata": nodata, "scale": scale, "stretch": stretch}
        fields |= {"size": size, "enlarge": enlarge, "swath": swath, "bursts": bursts, "looks": looks, "orient": orient}
        sar = parse_render_query({name: text for name, text in fields.items() if text is not None})
        render = parse_render(sar, "sar") or RenderParams()
        image_request = ImageRequest(parse_urls(url, "url"), render)
        resolved = await resolve_preview(inference, authorizer, image_request, model, request.state.context)
        headers = {"ETag": f'"{resolved.id}"', "Cache-Control": "no-cache"}
        headers["Sarlens-Radiometry"] = resolved.render.radiometry
        if has_etag(request.headers.getlist("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if HEADERS_ONLY in request.scope:  # the media type is that of the rendered image
            return Response(headers=headers)
        rendered = await inference.image_service.render(resolved)
        return Response(rendered.data, media_type=rendered.media_type, headers=headers)

    return router
