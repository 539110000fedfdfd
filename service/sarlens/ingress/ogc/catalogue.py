"""The processes that there are, and how they are described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import sarlens
from sarlens.errors import ProcessNotFound
from sarlens.ingress.ogc.inputs import CaptionInputs, EchoInputs, SurveyInputs, VqaInputs
from sarlens.ingress.ogc.page import Document, link
from sarlens.ingress.ogc.schemas import described
from sarlens.survey.echo import ECHO

_EXECUTE = "http://www.opengis.net/def/rel/ogc/1.0/execute"
_COLLECTION = {
    "type": "object",
    "format": "geojson-feature-collection",
    "contentMediaType": "application/geo+json",
    "required": ["type", "features"],
}


@dataclass(frozen=True, slots=True)
class Process:
    """What can be asked of this service. ``output`` is the name of what comes of it."""

    id: str
    title: str
    description: str
    inputs: type[BaseModel]
    output: str
    schema: dict[str, Any]

    def summary(self, base: str) -> Document:
        """What the list of processes says of it."""
        here = f"{base}/processes/{self.id}"
        return {
            "id": self.id,
            "version": sarlens.__version__,
            "title": self.title,
            "description": self.description,
            "keywords": ["SAR", "radar"],
            "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
            "outputTransmission": ["value"],
            "links": [link(here, "self", self.title), link(f"{here}/execution", _EXECUTE, "Execute it")],
        }

    def details(self, base: str) -> Document:
        """Its description."""
        output = {self.output: {"title": self.output, "schema": self.schema}}
        return self.summary(base) | {"inputs": described(self.inputs), "outputs": output}


_ABOUT_IMAGES: tuple[tuple[str, str, str, type[BaseModel]], ...] = (
    ("vqa", "Ask", "Questions about one window of a radar image.", VqaInputs),
    ("caption", "Describe", "A caption of one window of a radar image.", CaptionInputs),
    ("survey", "Survey", "Questions about every tile of a scene.", SurveyInputs),
)
_TEXT = {"type": "string"}

PROCESSES = {
    name: Process(name, title, meaning, kind, "answers", _COLLECTION) for name, title, meaning, kind in _ABOUT_IMAGES
}
PROCESSES[ECHO] = Process(ECHO, "Echo", "What is sent comes back, for trying out.", EchoInputs, "echoOutput", _TEXT)


def process_named(name: str) -> Process:
    """A process; raises ProcessNotFound where there is none of that name."""
    if name not in PROCESSES:
        raise ProcessNotFound(f"There is no process {name[:64]!r}; there are {', '.join(PROCESSES)}.")
    return PROCESSES[name]
