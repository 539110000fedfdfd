"""A small PNG, as bytes and as a data URL."""

from __future__ import annotations

import base64
import io

from PIL import Image


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((64, 48)).save(buffer, "png")
    return buffer.getvalue()


PNG = _png()
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
