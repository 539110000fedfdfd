"""Caption metrics, compared with pycocoevalcap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from sarbench.errors import ScoreError
from sarbench.score.caption_metrics import CaptionPair, bleu, cider, rouge_l
from support.sarlang_fixture import COMPLEX, CONCISE

WORDS = st.sampled_from(["a", "A", "ship", "ships", "river", "river,", "beside", "the", "bridge.", "é", "\u00a0", "-"])
SENTENCES = st.lists(WORDS, max_size=14).map(" ".join)
TEXTS = st.one_of(SENTENCES, SENTENCES, st.text(max_size=40))
PAIRS = st.lists(st.builds(CaptionPair, TEXTS, TEXTS), min_size=1, max_size=12).filter(
    lambda pairs: any(pair.truth.split() for pair in pairs)  # pycocoevalcap fails where no reference has a word
)


def pycocoevalcap_scores(pairs: Sequence[CaptionPair]) -> tuple[list[float], list[float], list[float]]:
    """Return BLEU-1 to BLEU-4, and ROUGE-L and CIDEr per pair, by pycocoevalcap."""
    truths = {index: [pair.truth] for index, pair in enumerate(pairs)}
    answers = {index: [pair.answer] for index, pair in enumerate(pairs)}
    return (
        Bleu(4).compute_score(truths, answers, verbose=0)[0],
        list(Rouge().compute_score(truths, answers)[1]),
        list(Cider().compute_score(truths, answers)[1]),
    )


def check(pairs: Sequence[CaptionPair]) -> None:
    """Compare all metrics with pycocoevalcap."""
    their_bleu, their_rouge, their_cider = pycocoevalcap_scores(pairs)
    assert bleu(pairs) == pytest.approx(their_bleu, abs=1e-6)
    assert [rouge_l(pair) for pair in pairs] == pytest.approx(their_rouge, abs=1e-6)
    assert cider(pairs) == pytest.approx(their_cider, abs=1e-6)


@given(PAIRS)
def test_random_captions_match_pycocoevalcap(pairs: list[CaptionPair]) -> None:
    """BLEU, ROUGE-L, and CIDEr agree to 1e-6 for any strings."""
    check(pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        [CaptionPair(truth, answer) for (_, truth), (_, answer) in zip(CONCISE, COMPLEX, strict=True)],
        [CaptionPair(caption, caption) for _, caption in (*CONCISE, *COMPLEX)],
        [CaptionPair("a ship", "")],
        [CaptionPair("", ""), CaptionPair("a ship", "a ship")],
        [CaptionPair("Two ships.", "two ships ."), CaptionPair("a  b", "a b"), CaptionPair("x\ny", "x y")],
        [
            CaptionPair(f"{number} ships beside the river", f"{number + 1} ships beside the river")
            for number in range(40)
        ],
    ],
)
def test_edge_cases_match_pycocoevalcap(pairs: list[CaptionPair]) -> None:
    """Case, punctuation, double spaces, and empty captions give the same scores as pycocoevalcap."""
    check(pairs)


def test_repeated_captions_are_separate_documents() -> None:
    """Two captions of one image are two documents with one reference each, as in the paper's script."""
    once, twice = (
        [CaptionPair("a ship", "a ship"), CaptionPair("a car", "a car")],
        [CaptionPair("a ship", "a ship")] * 2,
    )
    assert cider(once)[0] > 0
    assert cider(twice) == [0.0, 0.0]  # words in every document have zero weight
    check(once)
    check(twice)


def test_a_perfect_caption_has_cider_10() -> None:
    """A perfect caption has CIDEr 10, the maximum."""
    pairs = [CaptionPair(caption, caption) for _, caption in (*CONCISE, *COMPLEX)]
    assert all(math.isclose(score, 10.0) for score in cider(pairs))


def test_an_empty_corpus_is_an_error() -> None:
    """Metrics of an empty corpus raise a ScoreError."""
    with pytest.raises(ScoreError, match="no captions"):
        bleu([])
    with pytest.raises(ScoreError, match="no captions"):
        cider([])
