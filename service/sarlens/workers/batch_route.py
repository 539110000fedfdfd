"""What the gateway has learned about the batch route of one worker."""

from __future__ import annotations

_MAX_REJECTIONS = 3


class BatchRoute:
    """Whether a worker answers several chats in one request, which its first responses show.

    A worker has the route from its first answer on. Until then, it has no route as soon as a batch fails, or as soon as
    it has rejected ``_MAX_REJECTIONS`` batches in a row: a single rejection can be due to a question.
    """

    __slots__ = ("_rejections", "_supported", "exists")

    def __init__(self, *, supported: bool) -> None:
        """``supported`` is whether the protocol of the worker has batches at all."""
        self._supported = supported
        self.exists: bool | None = None
        """Whether the worker has the route; None until a response shows it."""
        self._rejections = 0
        self.reset()

    def reset(self) -> None:
        """Start again without knowledge, since another process may serve at the worker's address."""
        self.exists = None if self._supported else False
        self._rejections = 0

    def on_answer(self) -> None:
        """Record that the worker answered a batch."""
        self.exists = True

    def on_missing(self) -> None:
        """Record a response or a failure that shows no route, unless the worker has answered a batch before."""
        if self.exists is None:
            self.exists = False

    def on_rejection(self) -> None:
        """Record that the worker rejected a batch, and that a question may be the reason."""
        self._rejections += 1
        if self._rejections >= _MAX_REJECTIONS:
            self.on_missing()
