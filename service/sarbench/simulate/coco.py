"""Reader and writer of COCO bounding boxes, the annotation format of SARDet-100K."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from sarbench.errors import DatasetError
from sarbench.simulate.ground_truth import Box, GroundTruth, LabeledBox
from sarlens.prompts.applications import CATEGORIES
from sarlens.validation import InvalidField

CATEGORY_ALIASES = {
    **{category: category for category in CATEGORIES},
    "harbour": "harbor",
    "storage tank": "tank",
    "storage-tank": "tank",
    "plane": "aircraft",
    "airplane": "aircraft",
    "vehicle": "car",
}
"""Lower-case category names in annotation files, with the category of each."""

PositiveLength = Annotated[float, Field(gt=0, allow_inf_nan=False)]
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
    bbox: tuple[Coordinate, Coordinate, PositiveLength, PositiveLength]


class _Coco(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def read_coco(path: Path) -> list[GroundTruth]:
    """Return the labeled boxes of each image, in file order. Boxes are absolute [x, y, width, height] in pixels.

    Raises:
        DatasetError: the file is not COCO, has another category than SARDet's six, or has a box without area.
            Also, an annotation refers to an unlisted image or category.
    """
    try:
        coco = _Coco.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = InvalidField.first(error).describe("the file")
        raise DatasetError(f"{path.name}: not COCO annotations: {problem}") from None
    categories = {category.id: _parse_category(path, category.name) for category in coco.categories}
    objects: dict[int, list[LabeledBox]] = {image.id: [] for image in coco.images}
    for index, annotation in enumerate(coco.annotations):
        if annotation.image_id not in objects or annotation.category_id not in categories:
            raise DatasetError(
                f"{path.name}: annotations.{index}: image {annotation.image_id} or "
                f"category {annotation.category_id} is not listed"
            )
        objects[annotation.image_id].append(LabeledBox(categories[annotation.category_id], Box(*annotation.bbox)))
    return [GroundTruth(image.file_name, image.width, image.height, tuple(objects[image.id])) for image in coco.images]


def _parse_category(path: Path, name: str) -> str:
    try:
        return CATEGORY_ALIASES[name.strip().lower()]
    except KeyError:
        raise DatasetError(f"{path.name}: category {name!r} is not one of {', '.join(CATEGORIES)}") from None


def write_coco(truths: Iterable[GroundTruth], path: Path) -> None:
    """Write the labeled boxes of ``truths`` as COCO annotations in the format of SARDet-100K."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, truth in enumerate(truths, start=1):
        images.append({"id": image_id, "file_name": truth.image, "width": truth.width, "height": truth.height})
        for labeled in truth.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES.index(labeled.category) + 1,
                    "bbox": list(labeled.box),
                    "area": labeled.box.width * labeled.box.height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
