"""A script for the QGIS Processing toolbox: survey a radar scene with Sarlens and add the answers as a layer.

In QGIS, select Processing > Toolbox > Scripts > Add Script to Toolbox. On the command line, run
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
    """Cut a scene into tiles, ask one question about each tile, and return the answers as polygons."""

    def name(self):
        """Return the identifier for qgis_process."""
        return "sarlens_survey"

    def displayName(self):  # noqa: N802
        """Return the title in the toolbox."""
        return "Survey a radar scene (Sarlens)"

    def shortHelpString(self):  # noqa: N802
        """Return the help text."""
        return "Cuts a SAR scene into tiles, asks a vision-language model about each tile, and adds the answers."

    def createInstance(self):  # noqa: N802
        """Return a new instance."""
        return SarlensSurvey()

    def initAlgorithm(self, configuration=None):  # noqa: N802
        """Define the parameters."""
        texts = (
            ("GATEWAY", "Gateway", "http://localhost:8080"),
            ("IMAGE", "Image URL (s3:// or https://)", "s3://scenes/port.tif"),
            ("QUESTION", "Question", "How many ships are in the image?"),
        )
        for name, title, default in texts:
            self.addParameter(QgsProcessingParameterString(name, title, default))
        self.addParameter(QgsProcessingParameterNumber("TILE", "Tile size in pixels", minValue=64, optional=True))
        self.addParameter(QgsProcessingParameterNumber("OVERLAP", "Overlap in pixels", defaultValue=0, minValue=0))
        self.addParameter(QgsProcessingParameterExtent("EXTENT", "Part of the scene", optional=True))
        self.addParameter(QgsProcessingParameterString("KEY", "API key", "", optional=True))
        self.addParameter(QgsProcessingParameterFeatureSink("OUTPUT", "Answers"))

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802
        """Submit the survey, wait until it finishes, and write its features."""
        base = self.parameterAsString(parameters, "GATEWAY", context).rstrip("/")
        key = self.parameterAsString(parameters, "KEY", context)
        inputs = {name.lower(): self.parameterAsString(parameters, name, context) for name in ("IMAGE", "QUESTION")}
        inputs["overlap"] = self.parameterAsInt(parameters, "OVERLAP", context)
        if parameters.get("TILE") is not None:
            inputs["tile"] = self.parameterAsInt(parameters, "TILE", context)
        extent = self.parameterAsExtent(parameters, "EXTENT", context, CRS84)
        if not extent.isEmpty():
            box = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
            inputs["bbox"] = {"bbox": box}
        job = self._request(f"{base}/processes/survey/execution", key, feedback, {"inputs": inputs})
        job_url = f"{base}/jobs/{job['jobID']}"
        while job["status"] in ("accepted", "running"):
            if feedback.isCanceled():
                self._request(job_url, key, feedback, method="DELETE")
                return {}
            feedback.setProgress(job.get("progress", 0))
            time.sleep(1)
            job = self._request(f"{job_url}?f=json", key, feedback)
        if job["status"] != "successful":
            raise QgsProcessingException(job.get("message", f"The survey ended with status {job['status']}."))
        text = json.dumps(self._request(f"{job_url}/results", key, feedback))
        fields = QgsJsonUtils.stringToFields(text)
        sink, layer = self.parameterAsSink(parameters, "OUTPUT", context, fields, QgsWkbTypes.Polygon, CRS84)
        for feature in QgsJsonUtils.stringToFeatureList(text, fields):
            sink.addFeature(feature, QgsFeatureSink.FastInsert)
        return {"OUTPUT": layer}

    def _request(self, url, key, feedback, body=None, method="GET"):
        """Return a JSON document of the gateway. Raise QgsProcessingException with the gateway's message."""
        request = QNetworkRequest(QUrl(url))
        request.setRawHeader(b"Prefer", b"respond-async")
        if key:
            request.setRawHeader(b"Authorization", f"Bearer {key}".encode())
        network = QgsBlockingNetworkRequest()
        if method == "DELETE":
            network.deleteResource(request)
        elif body is None:
            network.get(request, True, feedback)
        else:
            request.setHeader(QNetworkRequest.ContentTypeHeader, "application/json")
            network.post(request, json.dumps(body).encode(), True, feedback)
        content = bytes(network.reply().content())
        try:
            document = json.loads(content)
        except ValueError:
            raise QgsProcessingException(network.errorMessage() or f"The response of {url} isn't JSON") from None
        if network.reply().attribute(QNetworkRequest.HttpStatusCodeAttribute) >= 400:
            raise QgsProcessingException(document.get("detail", str(document)))
        return document
