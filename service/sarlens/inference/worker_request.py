"""The request for a worker: its images are resolved, and rendered when a worker needs their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from sarlens.chat.compose import ImagePayload, build_worker_body, may_add_usage
from sarlens.chat.lax_values import read_boolean
from sarlens.chat.parse import ChatRequest
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_id import worker_image_id
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.failover import Visits
from sarlens.json_input import Document, run_off_loop
from sarlens.observability.route_receipt import current_route_receipt
from sarlens.workers.worker import Worker

_INVALID_STATUSES = frozenset({400, 404, 422})


class WorkerRequest:
    """One request, and the body of it for each worker.

    ``image_ids`` are the ids under which workers cache the images; callers can't compute them. They are empty if the
    request bypasses the workers' caches, and then every worker gets the images as data.
    ``image_bytes`` holds the sizes of the images rendered so far, by id.
    """

    __slots__ = (
        "_bodies_with_images",
        "_chat_request",
        "_image_first",
        "_image_keys",
        "_image_service",
        "_resolved_images",
        "generates",
        "image_bytes",
        "image_ids",
        "is_idempotent",
        "may_add_usage",
        "on_sent",
        "pixels",
        "ranked",
        "receipt",
        "visits",
    )

    def __init__(
        self,
        chat_request: ChatRequest,
        resolved_images: Sequence[ResolvedImage],
        image_service: ImageService,
        *,
        image_first: bool,
        image_id_secret: bytes,
        on_sent: Callable[[], object] | None = None,
    ) -> None:
        self._chat_request = chat_request
        self._resolved_images = resolved_images
        self._image_service = image_service
        self._image_first = image_first
        self.on_sent = on_sent
        """Called before each attempt to send the request to a worker."""
        self._bodies_with_images: dict[bool, bytes] = {}
        self.may_add_usage = may_add_usage(chat_request)
        """Whether the gateway requests the usage of the stream, which the caller hasn't requested."""
        self.is_idempotent = read_boolean(chat_request.document.get("store")) is not True
        """Whether a second, concurrent request has no side effect."""
        self.visits = Visits(idempotent=self.is_idempotent)
        self.ranked: Sequence[Worker] = ()
        """Workers that were ready when the request was dispatched."""
        self.receipt = current_route_receipt()
        """Receipt of the caller's request, if the caller or a trace needs one."""
        self.image_bytes: dict[str, int] = {}
        salt = chat_request.policy.cache_salt
        self._image_keys = tuple(
            [worker_image_id(image_id_secret, image.id, "" if image.public else salt) for image in resolved_images]
        )
        self.generates = chat_request.generates
        """Whether the worker generates text."""
        cached = chat_request.uses_image_cache
        self.image_ids = self._image_keys if cached else ()
        self.pixels = sum([resolved.pixels for resolved in resolved_images]) if cached else 0
        """Pixels of the images that the worker prefills."""

    @property
    def path(self) -> str:
        """Path of the request, at the gateway and at the worker."""
        return self._chat_request.path

    @property
    def request_id(self) -> str:
        """Request id, for logs."""
        return self._chat_request.request_id

    @property
    def invalid_statuses(self) -> frozenset[int]:
        """Statuses with which a worker may reject what the gateway adds to the request."""
        return _INVALID_STATUSES

    @property
    def chats(self) -> int:
        """Number of chats in the request."""
        return 1

    @property
    def is_stream(self) -> bool:
        """Whether the caller requested a stream."""
        return self._chat_request.stream

    def note_attempt(self) -> None:
        """Record that a worker gets the request now."""
        if self.receipt is not None:
            self.receipt.attempts += 1
        if self.on_sent is not None:
            self.on_sent()

    def estimate_pixels(self, worker: Worker) -> int:
        """Return the image pixels that a worker would have to prefill: those of images it neither holds nor expects."""
        has_or_expects = worker.known_images.has_or_expects
        return self.pixels - sum([pixels for image_id, pixels in self.pixels_by_image() if has_or_expects(image_id)])

    def pixels_by_image(self) -> Iterable[tuple[str, int]]:
        """Return the id and the pixels of each image in ``image_ids``."""
        return zip(self.image_ids, [resolved.pixels for resolved in self._resolved_images], strict=False)

    def pixels_without(self, cached_ids: frozenset[str]) -> int:
        """Return the pixels of the images whose bytes are sent to a worker whose cache holds ``cached_ids``."""
        return sum([pixels for image_id, pixels in self.pixels_by_image() if image_id not in cached_ids])

    def unchanged_body(self, *, adds_usage: bool) -> Document | None:
        """Return the caller's body if the worker gets it as it is, else None."""
        return None if self._image_keys or adds_usage else self._chat_request.body

    async def body(self, cached_ids: frozenset[str], *, adds_usage: bool) -> Document:
        """Return the body for a worker whose cache holds the images in ``cached_ids``.

        Raises:
            SarlensError: an image can't be read or rendered, or the chat is nested too deeply.
        """
        if cached_ids or not self._image_keys:
            return await self._build_body(cached_ids, adds_usage=adds_usage)
        if adds_usage not in self._bodies_with_images:
            self._bodies_with_images[adds_usage] = await self._build_body(cached_ids, adds_usage=adds_usage)
        return self._bodies_with_images[adds_usage]

    async def _build_body(self, cached_ids: frozenset[str], *, adds_usage: bool) -> bytes:
        payloads = await self._image_payloads(cached_ids) if self._image_keys else ()
        compose = partial(self._compose, payloads, adds_usage=adds_usage)
        return await run_off_loop(self._chat_request.size, compose)

    def _compose(self, payloads: Sequence[ImagePayload], *, adds_usage: bool) -> bytes:
        return build_worker_body(self._chat_request, payloads, image_first=self._image_first, adds_usage=adds_usage)

    async def _image_payloads(self, cached_ids: frozenset[str]) -> list[ImagePayload]:
        async def payload_of(image_id: str, resolved: ResolvedImage) -> ImagePayload:
            if image_id in cached_ids:
                return ImagePayload(image_id, None)
            rendered = await self._image_service.render(resolved)
            self.image_bytes[image_id] = len(rendered.data)
            return ImagePayload(image_id, rendered.data, rendered.media_type)

        pairs = zip(self._image_keys, self._resolved_images, strict=True)
        payloads = [payload_of(image_id, resolved) for image_id, resolved in pairs]
        return [await payloads[0]] if len(payloads) == 1 else await asyncio.gather(*payloads)
