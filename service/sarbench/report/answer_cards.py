"""Cards of poor answers with their images."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from html import escape
from io import BytesIO

from PIL import Image

from sarbench.dataset.render import image_size, render_image
from sarbench.dataset.sarlang import SarlangDataset
from sarbench.errors import DatasetError
from sarbench.report.worst_answers import PoorAnswer
from sarlens.prompts.classify import BOX
from sarlens.types.render_params import RenderParams

IMAGE_SIDE = 224
JPEG_QUALITY = 80
NUMBER_PATTERN = re.compile(r"-?\d+(?:\.\d*)?")


def answer_cards(
    poor_answers: Iterable[PoorAnswer], dataset: SarlangDataset | None, on_card: Callable[[], None]
) -> str:
    """Return a figure for each answer. ``on_card`` is called after each. Without ``dataset``, cards have no image."""
    figures = []
    for poor in poor_answers:
        figures.append(_card(poor, dataset))
        on_card()
    return f'<div class="cards">{"".join(figures)}</div>'


def _card(poor: PoorAnswer, dataset: SarlangDataset | None) -> str:
    answer = poor.answer
    tag = " · ".join(filter(None, (answer.application.heading, poor.remark)))
    question = f"<p>{escape(answer.question)}</p>" if answer.question else ""
    answer_text = escape(answer.answer or answer.refusal or "") or "<em>empty</em>"
    return (
        f'<figure class="card">{_image(poor, dataset)}<figcaption><p class="tag">{escape(tag)}</p>{question}'
        f'<p class="truth">Truth: {escape(answer.truth)}</p><p class="answer">Answer: {answer_text}</p>'
        f'<p class="tag">{escape(answer.image)}</p></figcaption></figure>'
    )


def _image(poor: PoorAnswer, dataset: SarlangDataset | None) -> str:
    """Return the rendered image as SVG, with the box that the question names."""
    if dataset is None:
        return '<div class="missing">no image</div>'
    try:
        rendered = render_image(dataset, poor.answer.image, RenderParams(), IMAGE_SIDE)
        width, height = image_size(dataset, poor.answer.image)
    except DatasetError:
        return '<div class="missing">no image</div>'
    with Image.open(BytesIO(rendered.data)) as opened:
        jpeg = BytesIO()
        opened.convert("RGB").save(jpeg, "JPEG", quality=JPEG_QUALITY)
    href = f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(poor.answer.image)}">'
        f'<image href="{href}" width="{width}" height="{height}"/>{_question_box(poor.answer.question)}</svg>'
    )


def _question_box(question: str) -> str:
    """Return the rectangle of a region question. Its numbers are x, y, width, and height in image pixels."""
    match = BOX.search(question)
    if not match:
        return ""
    x, y, width, height = NUMBER_PATTERN.findall(match[0])
    return f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}"/>'
