"""Registry of the OGC processes and their descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import sarlens
from sarlens.api.ogc.inputs import CaptionInputs, EchoInputs, SurveyInputs, VqaInputs
from sarlens.api.ogc.negotiation import Document, link
from sarlens.api.ogc.openapi30 import input_descriptions
from sarlens.errors import ProcessNotFound
from sarlens.surveys.echo import ECHO

_EXECUTE = "http://www.opengis.net/def/rel/ogc/1.0/execute"
_FEATURE_COLLECTION = {
    "type": "object",
    "format": "geojson-feature-collection",
    "contentMediaType": "application/geo+json",
    "required": ["type", "features"],
}
_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Process:
    """One process."""

    id: str
    title: str
    description: str
    inputs: type[BaseModel]
    """Model of the inputs."""
    output: str
    """Name of the only output."""
    schema: dict[str, Any]
    """OpenAPI 3.0 schema of the output."""

    def summary(self, base: str) -> Document:
        """Return the process summary of the process list."""
        url = f"{base}/processes/{self.id}"
        return {
            "id": self.id,
            "version": sarlens.__version__,
            "title": self.title,
            "description": self.description,
            "keywords": ["SAR", "radar"],
            "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
            "outputTransmission": ["value"],
            "links": [link(url, "self", self.title), link(f"{url}/execution", _EXECUTE, "Execute the process")],
        }

    def details(self, base: str) -> Document:
        """Return the process description with inputs and outputs."""
        output = {self.output: {"title": self.output, "schema": self.schema}}
        return self.summary(base) | {"inputs": input_descriptions(self.inputs), "outputs": output}


_PROCESSES = (
    Process(
        "vqa",
        "Questions",
        "Answers questions about one window of a radar image.",
        VqaInputs,
        "answers",
        _FEATURE_COLLECTION,
    ),
    Process(
        "caption", "Caption", "Describes one window of a radar image.", CaptionInputs, "answers", _FEATURE_COLLECTION
    ),
    Process(
        "survey",
        "Survey",
        "Answers questions about every tile of a radar image.",
        SurveyInputs,
        "answers",
        _FEATURE_COLLECTION,
    ),
    Process(ECHO, "Echo", "Returns its input, to try the API.", EchoInputs, "echoOutput", _TEXT),
)
PROCESS_REGISTRY = {process.id: process for process in _PROCESSES}


def process_named(process_id: str) -> Process:
    """Return a process.

    Raises:
        ProcessNotFound: the id is unknown.
    """
    if process_id not in PROCESS_REGISTRY:
        ids = ", ".join(PROCESS_REGISTRY)
        raise ProcessNotFound(f"Process {process_id[:64]!r} doesn't exist. The processes are {ids}.")
    return PROCESS_REGISTRY[process_id]
