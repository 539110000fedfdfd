"""``GET /v1/sar/picture``: the picture that a model would see, for people who would rather look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from sarlens.chat import parse_render, sar_from_text
from sarlens.inference import Inference
from sarlens.ingress.door import Door
from sarlens.request import Calibration, Filter, Preset, Render, Scale, View, radiometry


def picture_router(inference: Inference, door: Door) -> APIRouter:
    """The route that shows a rendering."""
    router = APIRouter(tags=["images"])

    @router.get("/v1/sar/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def picture(
        request: Request,
        url: Annotated[str, Query(description="Image, such as s3://scenes/port.tif")],
        model: Annotated[str | None, Query(description="Render at the size that this model sees")] = None,
        window: Annotated[str | None, Query(description="col,row,width,height in full-resolution pixels")] = None,
        bbox: Annotated[str | None, Query(description="west,south,east,north")] = None,
        bbox_crs: Annotated[str | None, Query(description="CRS of the bbox, such as EPSG:32631; else CRS84")] = None,
        polygon: Annotated[str | None, Query(description="A GeoJSON Polygon in longitude and latitude")] = None,
        asset: Annotated[str | None, Query(description="Key of an asset, where the image is a STAC Item")] = None,
        bands: Annotated[str | None, Query(description="Names or numbers, such as VV or 1,2")] = None,
        swath: Annotated[str | None, Query(description="A swath of a product, such as IW1")] = None,
        preset: Preset | None = None,
        filter: Filter | None = None,  # noqa: A002  the name of the field in ``sar``
        scale: Scale | None = None,
        calibration: Calibration | None = None,
        looks: Annotated[str | None, Query(description="Pixels averaged along a row and a column, such as 4,1")] = None,
        stretch: Annotated[str | None, Query(description="Two percentiles, such as 2,98")] = None,
        size: Annotated[str | None, Query(description="Longest side in pixels")] = None,
    ) -> Response:
        """An image of a bucket or a web server, rendered as a model sees it; fields as in the ``sar`` object."""
        fields = {"window": window, "asset": asset, "bands": bands, "preset": preset, "filter": filter}
        fields |= {"bbox": bbox, "bbox_crs": bbox_crs, "polygon": polygon, "calibration": calibration}
        fields |= {"scale": scale, "stretch": stretch, "size": size, "swath": swath, "looks": looks}
        sar = sar_from_text({name: text for name, text in fields.items() if text is not None})
        caller = request.scope["sarlens.caller"]
        render, side = parse_render(sar, "sar") or Render(), inference.picture_size(model)
        await door.see(caller.key, View(url, render))
        shown = await inference.pictures.show(url, render, side, caller.terms)
        headers = {"ETag": f'"{shown.id}"', "Cache-Control": "no-cache"}
        headers["Sarlens-Radiometry"] = radiometry(render.calibration)
        return Response(shown.data, media_type=shown.media_type, headers=headers)

    return router
