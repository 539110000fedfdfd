"""Sample scenes for the bucket of a new installation, with questions and true answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarbench.simulate.chip import Chip, build_chip
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.land_cover import Polarization
from sarbench.simulate.layouts import SITE_TYPES
from sarbench.simulate.questions import generate_questions
from sarbench.simulate.render import render_scene

TRUTH_FILE = "scenes.json"
"""File with the questions and answers of each scene."""


@dataclass(frozen=True, slots=True)
class SampleScene:
    """One sample scene: area type, layout variant, side in pixels, and encoding.

    Without an encoding, the file is the 8-bit PNG that the gateway renders. ``question`` comes first in the file of
    questions: sarlens-nano answers it correctly.
    """

    file: str
    area: str
    layout: int
    size: int
    encoding: Encoding | None
    question: str
    polarizations: tuple[Polarization, ...] = ("VV",)
    margin: int = 0

    def simulate(self) -> Chip:
        """Return the chip of the scene."""
        site_type = next(index for index, candidate in enumerate(SITE_TYPES) if candidate.area == self.area)
        return build_chip(self.file, site_type, self.layout, self.size, np.random.default_rng(self.layout))

    def write(self, chip: Chip, path: Path) -> None:
        """Write the scene to ``path``."""
        if self.encoding is None:
            path.write_bytes(render_scene(chip.scene, self.size).data)
        else:
            write_geotiff(chip.scene, path, self.encoding, polarizations=self.polarizations, margin=self.margin)


SAMPLE_SCENES = (
    SampleScene("port.tif", "Port", 16, 1024, Encoding.DN, "How many harbors are located in the image?"),
    SampleScene("sea.tif", "Sea", 8, 768, Encoding.LINEAR, "What are the ships most likely doing?"),
    SampleScene(
        "airfield.tif", "Airport", 6, 768, Encoding.DB, "How many aircraft are located in the image?", margin=8
    ),
    SampleScene(
        "city_vv_vh.tif", "Urban", 13, 768, Encoding.DN, "What is this area most likely used for?", ("VV", "VH")
    ),
    SampleScene("slc.tif", "Sea", 14, 512, Encoding.SLC, "What are the ships most likely doing?"),
    SampleScene("coast.png", "Port", 10, 512, None, "How many ships are in the image?"),
)


def write_sample_scenes(out: Path) -> None:
    """Write the sample scenes and their questions into ``out``. The files are identical each time."""
    out.mkdir(parents=True, exist_ok=True)
    truth = {}
    for sample in SAMPLE_SCENES:
        chip = sample.simulate()
        sample.write(chip, out / sample.file)
        questions = generate_questions(chip.truth, np.random.default_rng(sample.layout))
        ship_count = {"How many ships are in the image?": str(chip.truth.counts["ship"])}
        answers = ship_count | {qa.question: qa.answer for qa in questions}
        truth[sample.file] = {sample.question: answers[sample.question]} | answers
    (out / TRUTH_FILE).write_text(json.dumps(truth, indent=2) + "\n")
