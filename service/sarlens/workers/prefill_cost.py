"""The cost of an image that a worker has to prefill, learned from the worker's response times."""

from __future__ import annotations

DEFAULT_REQUESTS_PER_IMAGE = 6.5
"""Cost of ``PIXELS_PER_IMAGE`` pixels in requests: 27 ms against 4.2 ms, measured with vLLM on a CPU."""
PIXELS_PER_IMAGE = 65_536
"""Pixels of the image that costs are stated for: 256 x 256."""

_MIN_REQUESTS, _MAX_REQUESTS = 0.25, 32.0
_WINDOW = 256
_FORGETTING = 1 - 1 / _WINDOW
_PRIOR_WORK, _PRIOR_IMAGES = 100.0, 4.0
"""Weight of the prior: the sum of squared deviations, of work and of images, that counts as much."""
_MAX_RESIDUAL = 3.0
"""Residual above which a response time is an outlier, in mean absolute residuals."""
_FIRST_RESIDUAL, _RESIDUALS = 0.25, 64
_MIN_SLOPE = 1 / 8
_MIN_SECONDS = 1e-9


class _Means:
    """Means over the last ``_WINDOW`` responses of one kind."""

    __slots__ = ("_count", "images", "seconds", "work")

    def __init__(self, work: float, images: float, seconds: float) -> None:
        self.work, self.images, self.seconds = work, images, seconds
        self._count = 1

    def update(self, work: float, images: float, seconds: float) -> None:
        self._count = min(self._count + 1, _WINDOW)
        self.work += (work - self.work) / self._count
        self.images += (images - self.images) / self._count
        self.seconds += (seconds - self.seconds) / self._count


class PrefillCost:
    """Learns how many requests in flight delay a response as long as one image to prefill.

    The model of a response time is ``a + b * work + c * images``. ``images`` are still to prefill at the worker, those
    of the request included. ``work`` is the number of requests in flight, plus ``DEFAULT_REQUESTS_PER_IMAGE`` for each
    of these images. The cost of an image is ``DEFAULT_REQUESTS_PER_IMAGE + c / b``.

    The estimate is a ridge regression with exponential forgetting, on deviations from the means of streamed and whole
    responses, relative to their mean time. Its prior is a worker that is busy all the time (``a = 0``) and whose images
    have the default cost (``c = 0``). Outliers count as the largest regular residual (Huber, 1964).
    """

    __slots__ = ("_images_seconds", "_means", "_residual", "_sums", "_work_seconds", "requests_per_image")

    def __init__(self) -> None:
        self.requests_per_image = DEFAULT_REQUESTS_PER_IMAGE
        """Cost of ``PIXELS_PER_IMAGE`` pixels, in requests."""
        self._means: dict[bool, _Means] = {}
        self._sums = (0.0, 0.0, 0.0)
        """Sums of squares and products: work by work, work by images, images by images."""
        self._work_seconds = self._images_seconds = 0.0
        self._residual = _FIRST_RESIDUAL

    def of(self, pixels: int) -> float:
        """Return the cost of an image's pixels, in requests."""
        return self.requests_per_image * pixels / PIXELS_PER_IMAGE

    def observe(self, requests: float, pixels: int, seconds: float, *, stream: bool) -> None:
        """Learn from the time until a response began.

        Args:
            requests: requests in flight at the worker when the request was sent, itself included.
            pixels: pixels that the worker had to prefill then, those of the request included.
            seconds: time until the first event of a stream, or until a whole response.
            stream: whether the response was a stream.
        """
        images, seconds = pixels / PIXELS_PER_IMAGE, max(seconds, _MIN_SECONDS)
        work = requests + DEFAULT_REQUESTS_PER_IMAGE * images
        means = self._means.get(stream)
        if means is None:
            self._means[stream] = _Means(work, images, seconds)
            return
        by_work, by_images = self._slopes(means)
        d_work, d_images = work - means.work, images - means.images
        predicted = 1 + by_work * d_work + by_images * d_images
        relative = predicted + self._limit(seconds / means.seconds - predicted)
        self._add(d_work, d_images, relative - 1)
        means.update(work, images, max(relative * means.seconds, _MIN_SECONDS))
        by_work, by_images = self._slopes(means)
        cost = DEFAULT_REQUESTS_PER_IMAGE + by_images / max(by_work, _MIN_SLOPE * _busy_slope(means))
        self.requests_per_image = max(_MIN_REQUESTS, min(_MAX_REQUESTS, cost))

    def _limit(self, residual: float) -> float:
        """Return a residual, or the largest regular one of its sign."""
        limit = _MAX_RESIDUAL * self._residual
        limited = max(-limit, min(limit, residual))
        self._residual += (abs(limited) - self._residual) / _RESIDUALS
        return limited

    def _add(self, d_work: float, d_images: float, d_seconds: float) -> None:
        work, both, images = self._sums
        self._sums = (
            _FORGETTING * work + d_work * d_work,
            _FORGETTING * both + d_work * d_images,
            _FORGETTING * images + d_images * d_images,
        )
        self._work_seconds = _FORGETTING * self._work_seconds + d_work * d_seconds
        self._images_seconds = _FORGETTING * self._images_seconds + d_images * d_seconds

    def _slopes(self, means: _Means) -> tuple[float, float]:
        """Return ``b`` and ``c``, relative to the mean time of the responses."""
        prior = _busy_slope(means)
        work, both, images = self._sums
        rest_work = self._work_seconds - work * prior
        rest_images = self._images_seconds - both * prior
        work, images = work + _PRIOR_WORK, images + _PRIOR_IMAGES
        determinant = work * images - both * both
        by_work = prior + (images * rest_work - both * rest_images) / determinant
        return by_work, (work * rest_images - both * rest_work) / determinant


def _busy_slope(means: _Means) -> float:
    """Return ``b`` of a worker that is busy all the time, relative to the mean time of a response."""
    return 1 / max(1.0, means.work)
