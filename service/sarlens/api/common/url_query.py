"""The URLs of an image in a query string."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

UrlQuery = Annotated[
    list[str],
    Query(
        description="URL of the image or STAC Item, such as `s3://scenes/port.tif`. Repeat it for an image with "
        "one file per band, such as `…_VV.tif` and `…_VH.tif`"
    ),
]
"""Parameter of a route: the URL of an image, or of each band."""
