"""The handful of scenes that a fresh installation puts in its bucket, with questions whose answers are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarbench.simulate.chip import Chip, build_chip
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.landcover import Polarisation
from sarbench.simulate.layouts import KINDS
from sarbench.simulate.picture import picture_of
from sarbench.simulate.questions import ask

TRUTH = "scenes.json"
"""The file that holds, for each scene, its questions and their answers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample scene: the area it shows, the number of its layout, its side in pixels, how it is written.

    Without an encoding it is the picture that the gateway would render.
    """

    file: str
    area: str
    layout: int
    size: int
    encoding: Encoding | None
    polarisations: tuple[Polarisation, ...] = ("VV",)
    margin: int = 0

    def chip(self) -> Chip:
        """The scene and its truth."""
        kind = next(number for number, kind in enumerate(KINDS) if kind.area == self.area)
        return build_chip(self.file, kind, self.layout, self.size, np.random.default_rng(self.layout))

    def write(self, chip: Chip, path: Path) -> None:
        """Write the scene to ``path``."""
        if self.encoding is None:
            path.write_bytes(picture_of(chip.scene, self.size).data)
        else:
            write_geotiff(chip.scene, path, self.encoding, polarisations=self.polarisations, margin=self.margin)


SAMPLES = (
    Sample("port.tif", "Port", 16, 1024, Encoding.DN),
    Sample("sea.tif", "Sea", 8, 768, Encoding.LINEAR),
    Sample("airfield.tif", "Airport", 6, 768, Encoding.DB, margin=8),
    Sample("city_vv_vh.tif", "Urban", 13, 768, Encoding.DN, ("VV", "VH")),
    Sample("slc.tif", "Sea", 14, 512, Encoding.SLC),
    Sample("coast.png", "Port", 10, 512, None),
)


def write_samples(out: Path) -> None:
    """Write the sample scenes and the questions that they answer into ``out``; always the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    truth = {}
    for sample in SAMPLES:
        chip = sample.chip()
        sample.write(chip, out / sample.file)
        asked = ask(chip.truth, np.random.default_rng(sample.layout))
        ships = {"How many ships are in the image?": str(chip.truth.counts["ship"])}
        truth[sample.file] = ships | {qa.question: qa.answer for qa in asked}
    (out / TRUTH).write_text(json.dumps(truth, indent=2) + "\n")
