"""BLEU-1 to BLEU-4, ROUGE-L, and CIDEr with one reference per caption, equal to pycocoevalcap on the same strings.

Like the paper's script, the metrics use the strings unchanged: no PTB tokenizer, no lower-casing, and each row is its
own document. Formulas: BLEU of Papineni et al. (2002) with pycocoevalcap's smoothing and closest reference length,
ROUGE-L of Lin and Hovy (2004) with beta 1.2, and CIDEr-D of Vedantam et al. (2015) with sigma 6, between 0 and 10.
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

NGram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaptionPair:
    """A reference caption and the model's caption."""

    truth: str
    answer: str


def bleu(pairs: Sequence[CaptionPair]) -> tuple[float, float, float, float]:
    """Return the corpus scores BLEU-1 to BLEU-4, each 0 to 1.

    Raises:
        ScoreError: ``pairs`` is empty.
    """
    _require_pairs(pairs)
    correct, predicted = [0] * len(ORDERS), [0] * len(ORDERS)
    predicted_words, reference_words = 0, 0
    for pair in pairs:
        words = len(pair.answer.split())
        predicted_words, reference_words = predicted_words + words, reference_words + len(pair.truth.split())
        for index, order in enumerate(ORDERS):
            predicted[index] += max(0, words - order + 1)
            correct[index] += (_ngrams(pair.answer, order) & _ngrams(pair.truth, order)).total()
    precisions = [(right + TINY) / (all_ + SMALL) for right, all_ in zip(correct, predicted, strict=True)]
    ratio = (predicted_words + TINY) / (reference_words + SMALL)
    brevity = exp(1 - 1 / ratio) if ratio < 1 else 1.0
    one, two, three, four = (brevity * prod(precisions[:order]) ** (1 / order) for order in ORDERS)
    return one, two, three, four


def rouge_l(pair: CaptionPair) -> float:
    """Return ROUGE-L of one caption, 0 to 1. Words are split at single spaces, so two spaces give an empty word."""
    answer, truth = pair.answer.split(" "), pair.truth.split(" ")
    common = _longest_common_subsequence(answer, truth)
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(truth)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def cider(pairs: Sequence[CaptionPair]) -> list[float]:
    """Return the CIDEr score of each caption, 0 to 10, with document frequencies over all references.

    Raises:
        ScoreError: ``pairs`` is empty.
    """
    _require_pairs(pairs)
    log_documents = log(len(pairs))
    scores = [0.0] * len(pairs)
    for order in ORDERS:
        truths = [_ngrams(pair.truth, order) for pair in pairs]
        document_frequency = Counter(gram for truth in truths for gram in truth)
        idf = {gram: log_documents - log(count) for gram, count in document_frequency.items()}
        for index, (pair, truth) in enumerate(zip(pairs, truths, strict=True)):
            scores[index] += _tf_idf_similarity(_ngrams(pair.answer, order), truth, idf, log_documents)
    return [10 / len(ORDERS) * score * _length_penalty(pair) for score, pair in zip(scores, pairs, strict=True)]


def _tf_idf_similarity(
    answer: Counter[NGram], truth: Counter[NGram], idf: dict[NGram, float], unseen_idf: float
) -> float:
    """Cosine similarity of tf-idf vectors, with answer weights clipped to the reference's.

    An n-gram that no reference contains gets ``unseen_idf``.
    """
    answer_weights = {gram: count * idf.get(gram, unseen_idf) for gram, count in answer.items()}
    truth_weights = {gram: count * idf[gram] for gram, count in truth.items()}
    norm = sqrt(sum(weight**2 for weight in answer_weights.values())) * sqrt(
        sum(weight**2 for weight in truth_weights.values())
    )
    shared = sum(
        min(weight, truth_weights[gram]) * truth_weights[gram]
        for gram, weight in answer_weights.items()
        if gram in truth_weights
    )
    return shared / norm if norm else 0.0


def _length_penalty(pair: CaptionPair) -> float:
    """Gaussian penalty of the length difference, which pycocoevalcap measures in bigrams."""
    difference = max(0, len(pair.answer.split()) - 1) - max(0, len(pair.truth.split()) - 1)
    return exp(-(difference**2) / (2 * SIGMA**2))


def _ngrams(text: str, order: int) -> Counter[NGram]:
    words = text.split()
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, computed row by row."""
    above = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for index, second_word in enumerate(second):
            row.append(above[index] + 1 if word == second_word else max(above[index + 1], row[index]))
        above = row
    return above[-1]


def _require_pairs(pairs: Sequence[CaptionPair]) -> None:
    if not pairs:
        raise ScoreError("no captions to score")
