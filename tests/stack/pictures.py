"""A small picture for tests that need some picture."""

from __future__ import annotations

import base64
import io

from PIL import Image


def _png() -> bytes:
    held = io.BytesIO()
    Image.radial_gradient("L").resize((64, 48)).save(held, "png")
    return held.getvalue()


PNG = _png()
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
