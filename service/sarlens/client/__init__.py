"""Python client of a gateway, synchronous and asynchronous.

>>> from sarlens.client import Client
>>> with Client("http://localhost:8080") as client:
...     client.ask("s3://scenes/port.tif", "How many ships are in the image?")
"""

from sarlens.client.async_client import AsyncClient
from sarlens.client.client import Client
from sarlens.client.errors import GatewayError, GatewayUnreachable, LocalImageError
from sarlens.client.image_input import ImageInput, Uploader
from sarlens.client.render_options import RenderOptions
from sarlens.client.surveys import SurveyJob, SurveyResult

__all__ = [
    "AsyncClient",
    "Client",
    "GatewayError",
    "GatewayUnreachable",
    "ImageInput",
    "LocalImageError",
    "RenderOptions",
    "SurveyJob",
    "SurveyResult",
    "Uploader",
]
