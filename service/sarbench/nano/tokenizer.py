"""Tokenizer of sarlens-nano: whole words and numbers of the simulator's vocabulary, and bytes for other text."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sarbench.nano.dimensions import CONTEXT_TOKENS
from sarlens.prompts.applications import CAPTION_PROMPT, CATEGORIES_PREFIX, POSITIONS_PREFIX, QUESTION_PROMPT

PAD = "<pad>"
IMAGE = "<image>"
IMAGE_BOUNDARY = "<fake_token_around_image>"
GLOBAL_IMAGE = "<global-img>"
END = "<end_of_utterance>"
ROLE_TOKENS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
SPECIAL_TOKENS = (PAD, IMAGE, IMAGE_BOUNDARY, GLOBAL_IMAGE, END, *ROLE_TOKENS.values())
"""Tokens 0 to 7. The Idefics3 processor fixes the names of the image tokens."""

NUMBER_TOKENS = 513
"""The numbers 0 to 512 are one token each, so a count or coordinate is one decoding step. Others are digits."""

VOCAB_SIZE = 2304
"""Rows of the embedding. Rows beyond the last token are unused."""

PROMPT_TOKENS = (
    *QUESTION_PROMPT.split("{question}"),
    CATEGORIES_PREFIX,
    POSITIONS_PREFIX,
    CAPTION_PROMPT,
)
"""The benchmark's fixed prompt texts, one token each, because they carry no information."""

# A word includes the preceding space. A number doesn't, so it is the same token everywhere. The endings of box
# coordinates, ".0, " and ".0]", are one token each.
_WORD_PATTERN = r"\.0, |\.0\]| ?\p{L}+(?:['/-]\p{L}+)*|\p{N}{1,3}|\r?\n| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s"
_SPLIT_PATTERN = Regex("|".join([*map(re.escape, PROMPT_TOKENS), _WORD_PATTERN]))

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
"""A turn is its role, its images, its text, and the end token. Images come first, regardless of their order."""


def load_lexicon() -> tuple[str, ...]:
    """Return the words that are one token each, in the order of their ids."""
    return tuple(json.loads((files(__package__) / "lexicon.json").read_text(encoding="utf-8")))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer. It encodes any text without loss.

    A word in the lexicon is one token. Any other is spelled in bytes: byte-level BPE without merges.
    """
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    phrases = (*PROMPT_TOKENS, *load_lexicon())
    words = [word for phrase in phrases for word, _ in as_bytes.pre_tokenize_str(phrase)]
    numbers = [str(number) for number in range(10, NUMBER_TOKENS)]
    symbols = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *numbers, *words]
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    if len(vocabulary) > VOCAB_SIZE:
        raise ValueError(f"the lexicon has {len(vocabulary)} tokens; the vocabulary is limited to {VOCAB_SIZE}")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(_SPLIT_PATTERN, "isolated"), as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[name for name in SPECIAL_TOKENS if name not in (PAD, END)],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    )
