"""The ready workers of one model, and what routing needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sarlens.workers.columns import WorkerColumns
from sarlens.workers.worker import Worker


class ModelWorkers:
    """The ready workers that serve a model. They and their weights don't change; their numbers do."""

    def __init__(self, workers: Sequence[Worker], rows: Sequence[int], columns: WorkerColumns) -> None:
        """``rows`` are the rows of the workers in ``columns``."""
        self.workers = tuple(workers)
        self._rows: NDArray[np.intp] = np.array(rows, dtype=np.intp)
        self._columns = columns
        self._index_of_number = {worker.known_images.worker: index for index, worker in enumerate(workers)}

    def __len__(self) -> int:
        return len(self.workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers)

    def loads(self) -> NDArray[np.float64]:
        """Return the load of each worker now, in requests."""
        return self._columns.loads_of(self._rows)

    def image_costs(self) -> NDArray[np.float64]:
        """Return the cost of an image of ``PIXELS_PER_IMAGE`` at each worker now, in requests."""
        return self._columns.image_costs_of(self._rows)

    def with_open_breaker(self) -> list[int]:
        """Return the indexes of the workers whose circuit breaker is open."""
        if 1 not in self._columns.open_breakers:
            return []
        return [index for index, worker in enumerate(self.workers) if worker.breaker.is_open]

    def indexes_of(self, numbers: set[int]) -> list[int]:
        """Return the indexes of workers by their numbers in the image index, and leave out those of other models."""
        return [self._index_of_number[number] for number in numbers if number in self._index_of_number]
