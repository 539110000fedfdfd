"""Bounding boxes as COCO keeps them: SARDet-100K's annotations in, a simulation's truth out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from sarbench.errors import DatasetError
from sarbench.simulate.truth import Box, Seen, Truth
from sarlens.prompts.applications import CATEGORIES

NAMES = {
    **{category: category for category in CATEGORIES},
    "harbour": "harbor",
    "storage tank": "tank",
    "storage-tank": "tank",
    "plane": "aircraft",
    "airplane": "aircraft",
    "vehicle": "car",
}
"""What the six categories are called in annotations, in lower case."""

Side = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]


class _Category(BaseModel):
    id: int
    name: str


class _Image(BaseModel):
    id: int
    file_name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[Coordinate, Coordinate, Side, Side]


class _Coco(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def read_coco(path: Path) -> list[Truth]:
    """The boxed objects of every annotated image, in the file's order; boxes are absolute [x, y, width, height].

    Raises:
        DatasetError: the file is not COCO, has a category that is none of SARDet's six, a box without area, or an
            annotation of an image or category that the file does not list.
    """
    try:
        coco = _Coco.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DatasetError(f"{path.name}: not COCO annotations: {where}: {first['msg']}") from None
    names = {category.id: _category(path, category.name) for category in coco.categories}
    objects: dict[int, list[Seen]] = {image.id: [] for image in coco.images}
    for number, annotation in enumerate(coco.annotations):
        if annotation.image_id not in objects or annotation.category_id not in names:
            raise DatasetError(
                f"{path.name}: annotations.{number}: image {annotation.image_id} or "
                f"category {annotation.category_id} is not listed"
            )
        objects[annotation.image_id].append(Seen(names[annotation.category_id], Box(*annotation.bbox)))
    return [Truth(image.file_name, image.width, image.height, tuple(objects[image.id])) for image in coco.images]


def _category(path: Path, name: str) -> str:
    try:
        return NAMES[name.strip().lower()]
    except KeyError:
        raise DatasetError(f"{path.name}: category {name!r} is none of {', '.join(CATEGORIES)}") from None


def write_coco(truths: Iterable[Truth], path: Path) -> None:
    """Write the boxed objects of ``truths`` as COCO annotations that SARDet-100K's readers read."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, truth in enumerate(truths, start=1):
        images.append({"id": image_id, "file_name": truth.image, "width": truth.width, "height": truth.height})
        for seen in truth.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES.index(seen.category) + 1,
                    "bbox": list(seen.box),
                    "area": seen.box.width * seen.box.height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
