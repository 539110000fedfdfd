"""The tokenizer of sarlens-nano: whole words and whole numbers of its small world, bytes for everything else."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sarbench.nano.architecture import CONTEXT
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, POSITIONS_PREFIX, QUESTION_PROMPT

PAD = "<pad>"
IMAGE = "<image>"
IMAGE_EDGE = "<fake_token_around_image>"
IMAGE_WHOLE = "<global-img>"
END = "<end_of_utterance>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
SPECIALS = (PAD, IMAGE, IMAGE_EDGE, IMAGE_WHOLE, END, *ROLES.values())
"""Tokens 0 to 7; the names of the image tokens are fixed by the Idefics3 processor."""

NUMBERS = 513
"""0 to 512 are one token each, so a count or a coordinate is one step; greater ones are spelled in digits."""

VOCABULARY = 2304
"""Rows of the embedding; those beyond the last token are spare."""

PHRASES = (
    *QUESTION_PROMPT.split("{question}"),
    CATEGORIES_PREFIX,
    POSITIONS_PREFIX,
    CAPTION_PROMPT,
)
"""The benchmark's fixed sentences, one token each: they say nothing new, so they should cost nothing."""

# A word takes the blank before it along; a number does not, so it is the same token wherever it stands. The ends of
# a box's numbers, ".0, " and ".0]", are one token each.
_WORDS = r"\.0, |\.0\]| ?\p{L}+(?:['/-]\p{L}+)*|\p{N}{1,3}|\r?\n| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s"
_PIECES = Regex("|".join([*map(re.escape, PHRASES), _WORDS]))

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role if message.role in ('system', 'assistant') else 'user' }}|>
{%- if message.content is string -%}
{{ message.content }}
{%- elif message.content -%}
{%- for part in message.content if part.type == 'image' -%}<image>{%- endfor -%}
{%- for part in message.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}
{%- endif -%}
<end_of_utterance>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""
"""A turn is its role, its images, its text, and the end; images stand first wherever the caller put them."""


def lexicon() -> tuple[str, ...]:
    """Return the pieces of text that are one token each, in the order of their ids."""
    return tuple(json.loads((files(__package__) / "lexicon.json").read_text(encoding="utf-8")))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer; it encodes any text and decodes to the same text.

    A piece that the lexicon holds is one token, any other is spelled in bytes: byte-level BPE without a merge.
    """
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = [piece for word in (*PHRASES, *lexicon()) for piece, _ in as_bytes.pre_tokenize_str(word)]
    numbers = [str(number) for number in range(10, NUMBERS)]
    symbols = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *numbers, *pieces]
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    if len(vocabulary) > VOCABULARY:
        raise ValueError(f"the lexicon makes {len(vocabulary)} tokens, more than the {VOCABULARY} there is room for")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(_PIECES, "isolated"), as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[name for name in SPECIALS if name not in (PAD, END)],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )
