"""BLEU-1…4, ROUGE-L and CIDEr of captions against one reference each, equal to pycocoevalcap's on the same strings.

The paper's script hands its strings to pycocoevalcap as they are: no PTB tokenizer, no lower-casing, every row its own
document. The formulas are those of Papineni et al. 2002 with pycocoevalcap's smoothing and closest reference length,
Lin and Hovey 2004 with beta 1.2, and CIDEr-D of Vedantam et al. 2015 with sigma 6, which lies between 0 and 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, prod, sqrt

from sarbench.errors import ScoreError

ORDERS = (1, 2, 3, 4)
SMALL, TINY = 1e-9, 1e-15
BETA = 1.2
SIGMA = 6.0

Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference caption and what the model said."""

    truth: str
    answer: str


def bleu(pairs: Sequence[Pair]) -> tuple[float, float, float, float]:
    """BLEU-1 to BLEU-4 of the whole corpus.

    Raises:
        ScoreError: there are no pairs.
    """
    _some(pairs)
    correct, guessed = [0] * len(ORDERS), [0] * len(ORDERS)
    said, meant = 0, 0
    for pair in pairs:
        words = len(pair.answer.split())
        said, meant = said + words, meant + len(pair.truth.split())
        for place, order in enumerate(ORDERS):
            guessed[place] += max(0, words - order + 1)
            correct[place] += (_grams(pair.answer, order) & _grams(pair.truth, order)).total()
    precisions = [(right + TINY) / (all_ + SMALL) for right, all_ in zip(correct, guessed, strict=True)]
    ratio = (said + TINY) / (meant + SMALL)
    brevity = exp(1 - 1 / ratio) if ratio < 1 else 1.0
    one, two, three, four = (brevity * prod(precisions[:order]) ** (1 / order) for order in ORDERS)
    return one, two, three, four


def rouge_l(pair: Pair) -> float:
    """ROUGE-L of one caption; words are what single spaces part, so two spaces enclose an empty word."""
    answer, truth = pair.answer.split(" "), pair.truth.split(" ")
    common = _longest_common(answer, truth)
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(truth)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def cider(pairs: Sequence[Pair]) -> list[float]:
    """CIDEr of each caption, 0 to 10, with document frequencies over all references.

    Raises:
        ScoreError: there are no pairs.
    """
    _some(pairs)
    documents = log(len(pairs))
    scores = [0.0] * len(pairs)
    for order in ORDERS:
        truths = [_grams(pair.truth, order) for pair in pairs]
        seen = Counter(gram for truth in truths for gram in truth)
        idf = {gram: documents - log(count) for gram, count in seen.items()}
        for place, (pair, truth) in enumerate(zip(pairs, truths, strict=True)):
            scores[place] += _likeness(_grams(pair.answer, order), truth, idf, documents)
    return [10 / len(ORDERS) * score * _length_penalty(pair) for score, pair in zip(scores, pairs, strict=True)]


def _likeness(answer: Counter[Gram], truth: Counter[Gram], idf: dict[Gram, float], rarest: float) -> float:
    """Cosine of the tf-idf vectors, the answer's weights clipped at the truth's; a gram no truth has is rarest."""
    said = {gram: count * idf.get(gram, rarest) for gram, count in answer.items()}
    meant = {gram: count * idf[gram] for gram, count in truth.items()}
    norm = sqrt(sum(weight**2 for weight in said.values())) * sqrt(sum(weight**2 for weight in meant.values()))
    shared = sum(min(weight, meant[gram]) * meant[gram] for gram, weight in said.items() if gram in meant)
    return shared / norm if norm else 0.0


def _length_penalty(pair: Pair) -> float:
    """A Gaussian of the difference in length, which pycocoevalcap takes in bigrams."""
    difference = max(0, len(pair.answer.split()) - 1) - max(0, len(pair.truth.split()) - 1)
    return exp(-(difference**2) / (2 * SIGMA**2))


def _grams(text: str, order: int) -> Counter[Gram]:
    words = text.split()
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, row by row."""
    above = [0] * (len(other) + 1)
    for word in one:
        row = [0]
        for place, opposite in enumerate(other):
            row.append(above[place] + 1 if word == opposite else max(above[place + 1], row[place]))
        above = row
    return above[-1]


def _some(pairs: Sequence[Pair]) -> None:
    if not pairs:
        raise ScoreError("there are no captions to score")
