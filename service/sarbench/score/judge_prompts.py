"""Prompts of the LLM judge, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sarbench.errors import ScoreError

PLACEHOLDER = re.compile(r"\{(question|truth|answer)\}")
_DEFAULT = """A visual question was answered. Decide whether the prediction means the same as the reference answer.
Judge meaning, not wording: synonyms agree, such as football and soccer, or pond and swimming pool.

Question: {question}
Reference answer: {truth}
Prediction: {answer}

Reply with the single digit 1 if they agree or 0 if they do not, and nothing else."""
_AUTHORS = (
    "Question: {question}\nGround Truth Answer: {truth}\nPredicted Answer: {answer}\n"
    "Does the predicted answer match the ground truth? Answer 1 for match and 0 for not match. "
    "Use semantic meaning not exact match. Synonyms are also treated as a match, e.g., football and soccer, "
    "playground and ground track field, building and rooftop, pond and swimming pool. Do not explain the reason.\n"
)
"""Source: ``Evaluate_VQA.py`` of https://github.com/Jimmyxichen/SARLANG-1M at commit e9a3ead."""


@dataclass(frozen=True)
class JudgePrompt:
    """A prompt with the placeholders {question}, {truth}, and {answer}. ``name`` can be the path of its file."""

    name: str
    template: str

    def fill(self, question: str, truth: str, answer: str) -> str:
        """Return the prompt for one case. Braces in the values stay unchanged."""
        values = {"question": question, "truth": truth, "answer": answer}
        return PLACEHOLDER.sub(lambda match: values[match[1]], self.template)


PROMPTS = {name: JudgePrompt(name, text) for name, text in (("default", _DEFAULT), ("authors", _AUTHORS))}


def load_prompt(name: str) -> JudgePrompt:
    """Return the prompt of a name in ``PROMPTS``, or of a file.

    Raises:
        ScoreError: the file cannot be read, or has no placeholder for the truth and the answer.
    """
    if name in PROMPTS:
        return PROMPTS[name]
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreError(f"the judge's prompt {name} is neither {' nor '.join(PROMPTS)} nor a readable file") from error
    if missing := {"truth", "answer"} - set(PLACEHOLDER.findall(text)):
        raise ScoreError(f"the judge's prompt {name} has no placeholder {{{min(missing)}}}")
    return JudgePrompt(name, text)
