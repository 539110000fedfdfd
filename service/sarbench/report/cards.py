"""Poor answers beside the pictures that they are about."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from html import escape
from io import BytesIO

from PIL import Image

from sarbench.dataset.library import Library
from sarbench.dataset.picture import picture_of, size_of
from sarbench.errors import DatasetError
from sarbench.report.worst import Bad
from sarlens.prompts.classify import BOX
from sarlens.request import Render

SIDE = 224
QUALITY = 80
NUMBER = re.compile(r"-?\d+(?:\.\d*)?")


def cards(bads: Iterable[Bad], library: Library | None, seen: Callable[[], None]) -> str:
    """A figure for each answer; ``seen`` is called after each. Without ``library`` there are no pictures."""
    figures = []
    for bad in bads:
        figures.append(_card(bad, library))
        seen()
    return f'<div class="cards">{"".join(figures)}</div>'


def _card(bad: Bad, library: Library | None) -> str:
    answer = bad.answer
    tag = " · ".join(filter(None, (answer.application.heading, bad.remark)))
    asked = f"<p>{escape(answer.question)}</p>" if answer.question else ""
    said = escape(answer.answer) or "<em>nothing</em>"
    return (
        f'<figure class="card">{_shown(bad, library)}<figcaption><p class="tag">{escape(tag)}</p>{asked}'
        f'<p class="truth">Truth: {escape(answer.truth)}</p><p class="said">Answer: {said}</p>'
        f'<p class="tag">{escape(answer.image)}</p></figcaption></figure>'
    )


def _shown(bad: Bad, library: Library | None) -> str:
    """The picture that the gateway would show, with the box that the question names."""
    if library is None:
        return '<div class="missing">no picture</div>'
    try:
        picture = picture_of(library, bad.answer.image, Render(), SIDE)
        width, height = size_of(library, bad.answer.image)
    except DatasetError:
        return '<div class="missing">no picture</div>'
    with Image.open(BytesIO(picture.data)) as opened:
        small = BytesIO()
        opened.convert("RGB").save(small, "JPEG", quality=QUALITY)
    href = f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(bad.answer.image)}">'
        f'<image href="{href}" width="{width}" height="{height}"/>{_box(bad.answer.question)}</svg>'
    )


def _box(question: str) -> str:
    """The rectangle of a region question, whose numbers are pixels of the image: x, y, width, height."""
    found = BOX.search(question)
    if not found:
        return ""
    x, y, width, height = NUMBER.findall(found[0])
    return f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}"/>'
