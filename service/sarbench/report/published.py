"""Published figures of the SARLANG-1M paper (arXiv 2504.03254), as far as they are known."""

from __future__ import annotations

from typing import NamedTuple

PROVENANCE = (
    "Published figures: transcribed from a third party's summary of the paper, not checked against its tables, and "
    "incomplete. Accuracy is by the paper's rule with GPT-4o mini as judge, on the whole test split. Don't compare "
    "fine-tuned with zero-shot models."
)


class PublishedAccuracy(NamedTuple):
    """Accuracy on questions, in percent."""

    name: str
    setting: str
    accuracy: float


class PublishedCider(NamedTuple):
    """CIDEr times 100 on complex and concise captions."""

    name: str
    setting: str
    complex_: float
    concise: float


ACCURACIES = (
    PublishedAccuracy("Qwen2.5-VL-7B", "LoRA on SARLANG-1M", 73.33),
    PublishedAccuracy("LLaVA-1.5-7B", "LoRA on SARLANG-1M", 70.30),
    PublishedAccuracy("InternVL2.5-4B", "zero-shot, the best published", 43.95),
    PublishedAccuracy("LLaVA-1.5-7B", "zero-shot", 33.55),
    PublishedAccuracy("SAR experts", "on 30 questions only", 57.76),
    PublishedAccuracy("Laypeople", "on 30 questions only", 27.76),
)

CIDERS = (
    PublishedCider("Qwen2.5-VL-7B", "LoRA on SARLANG-1M", 55.64, 70.05),
    PublishedCider("Qwen2-VL-7B", "LoRA on SARLANG-1M", 48.36, 9.56),
    PublishedCider("HCNet", "trained on SARLANG-1M", 33.61, 239.00),
    PublishedCider("LLaVA-1.5-7B", "zero-shot", 0.03, 0.02),
)
