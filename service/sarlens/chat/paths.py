"""Paths of the requests that workers answer, and what the gateway may assume of each."""

from __future__ import annotations

CHAT_PATH = "/v1/chat/completions"
BATCH_PATH = f"{CHAT_PATH}/batch"
"""Path of the batch route of vLLM."""
COMPLETION_PATHS = frozenset({CHAT_PATH, "/v1/completions"})
"""Requests for which a worker generates text."""
EMBEDDINGS_PATH = "/v1/embeddings"
TOKENIZE_PATH = "/tokenize"
TOKEN_PATHS = frozenset({TOKENIZE_PATH, "/detokenize"})
"""Requests that convert between text and tokens, as vLLM names them."""
