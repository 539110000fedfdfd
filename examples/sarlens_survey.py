"""A script for the Processing toolbox of QGIS: survey a radar scene with Sarlens, and get a layer.

Processing > Toolbox > Scripts > Add Script to Toolbox; or
qgis_process run script:sarlens_survey -- GATEWAY=http://localhost:8080 IMAGE=s3://scenes/port.tif OUTPUT=ships.gpkg
"""

import json
import time

from qgis.core import (
    QgsBlockingNetworkRequest,
    QgsCoordinateReferenceSystem,
    QgsFeatureSink,
    QgsJsonUtils,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

CRS84 = QgsCoordinateReferenceSystem("OGC:CRS84")


class SarlensSurvey(QgsProcessingAlgorithm):
    """Cut a scene into tiles, ask every tile a question, and return the answers as polygons."""

    def name(self):
        """The name by which qgis_process finds it."""
        return "sarlens_survey"

    def displayName(self):  # noqa: N802
        """The name that people see."""
        return "Ask a radar scene (Sarlens)"

    def shortHelpString(self):  # noqa: N802
        """What it does."""
        return "Cuts a SAR scene into tiles, asks a vision-language model the question of each, and adds the answers."

    def createInstance(self):  # noqa: N802
        """Another one of its kind."""
        return SarlensSurvey()

    def initAlgorithm(self, configuration=None):  # noqa: N802
        """What it takes."""
        texts = (
            ("GATEWAY", "Gateway", "http://localhost:8080"),
            ("IMAGE", "Image (s3:// or https://)", "s3://scenes/port.tif"),
            ("QUESTION", "Question", "How many ships are in the image?"),
        )
        for name, title, default in texts:
            self.addParameter(QgsProcessingParameterString(name, title, default))
        self.addParameter(
            QgsProcessingParameterNumber("TILE", "Side of a tile in pixels", defaultValue=448, minValue=64)
        )
        self.addParameter(QgsProcessingParameterNumber("OVERLAP", "Overlap in pixels", defaultValue=0, minValue=0))
        self.addParameter(QgsProcessingParameterExtent("EXTENT", "Part of the scene", optional=True))
        self.addParameter(QgsProcessingParameterString("KEY", "API key", "", optional=True))
        self.addParameter(QgsProcessingParameterFeatureSink("OUTPUT", "Answers"))

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802
        """Hand the survey in, wait for it, and write its features."""
        base = self.parameterAsString(parameters, "GATEWAY", context).rstrip("/")
        key = self.parameterAsString(parameters, "KEY", context)
        inputs = {name.lower(): self.parameterAsString(parameters, name, context) for name in ("IMAGE", "QUESTION")}
        inputs |= {name.lower(): self.parameterAsInt(parameters, name, context) for name in ("TILE", "OVERLAP")}
        extent = self.parameterAsExtent(parameters, "EXTENT", context, CRS84)
        if not extent.isEmpty():
            box = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
            inputs["bbox"] = {"bbox": box}
        job = self._ask(f"{base}/processes/survey/execution", key, feedback, {"inputs": inputs})
        place = f"{base}/jobs/{job['jobID']}"
        while job["status"] in ("accepted", "running"):
            if feedback.isCanceled():
                self._ask(place, key, feedback, verb="DELETE")
                return {}
            feedback.setProgress(job.get("progress", 0))
            time.sleep(1)
            job = self._ask(f"{place}?f=json", key, feedback)
        if job["status"] != "successful":
            raise QgsProcessingException(job.get("message", f"The survey is {job['status']}."))
        text = json.dumps(self._ask(f"{place}/results", key, feedback))
        fields = QgsJsonUtils.stringToFields(text)
        sink, name = self.parameterAsSink(parameters, "OUTPUT", context, fields, QgsWkbTypes.Polygon, CRS84)
        for feature in QgsJsonUtils.stringToFeatureList(text, fields):
            sink.addFeature(feature, QgsFeatureSink.FastInsert)
        return {"OUTPUT": name}

    def _ask(self, url, key, feedback, body=None, verb="GET"):
        """A document of the gateway, or its own words as an error."""
        asked = QNetworkRequest(QUrl(url))
        asked.setRawHeader(b"Prefer", b"respond-async")
        if key:
            asked.setRawHeader(b"Authorization", f"Bearer {key}".encode())
        through = QgsBlockingNetworkRequest()
        if verb == "DELETE":
            through.deleteResource(asked)
        elif body is None:
            through.get(asked, True, feedback)
        else:
            asked.setHeader(QNetworkRequest.ContentTypeHeader, "application/json")
            through.post(asked, json.dumps(body).encode(), True, feedback)
        content = bytes(through.reply().content())
        try:
            told = json.loads(content)
        except ValueError:
            raise QgsProcessingException(through.errorMessage() or f"{url} answers no JSON") from None
        if through.reply().attribute(QNetworkRequest.HttpStatusCodeAttribute) >= 400:
            raise QgsProcessingException(told.get("detail", str(told)))
        return told
