"""Several chats about the same images as one request to a worker's batch route."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sarlens.chat.compose import ImagePayload, build_batch_body
from sarlens.chat.parse import ChatRequest
from sarlens.chat.paths import BATCH_PATH
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.failover import Visits
from sarlens.inference.worker_request import WorkerRequest

_INVALID_STATUSES = frozenset({400, 422})


class BatchRequest(WorkerRequest):
    """Chats about the same images that differ in their messages only, as one request.

    A batch visits one worker. If that worker fails, each chat by itself may visit one more.
    """

    __slots__ = ("_chat_requests",)

    def __init__(
        self,
        chat_requests: Sequence[ChatRequest],
        resolved_images: Sequence[ResolvedImage],
        image_service: ImageService,
        *,
        image_first: bool,
        image_id_secret: bytes,
        on_sent: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(
            chat_requests[0],
            resolved_images,
            image_service,
            image_first=image_first,
            image_id_secret=image_id_secret,
            on_sent=on_sent,
        )
        self._chat_requests = chat_requests
        self.visits = Visits(idempotent=False)  # which is one visit

    @property
    def path(self) -> str:
        """Path of the request at the worker."""
        return BATCH_PATH

    @property
    def invalid_statuses(self) -> frozenset[int]:
        """Statuses with which a worker may reject what the gateway adds; 404 is a worker without the route."""
        return _INVALID_STATUSES

    @property
    def chats(self) -> int:
        """Number of chats in the request."""
        return len(self._chat_requests)

    def _compose(self, payloads: Sequence[ImagePayload], *, adds_usage: bool) -> bytes:
        return build_batch_body(self._chat_requests, payloads, image_first=self._image_first)
