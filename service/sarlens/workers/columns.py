"""Numbers that routing needs of all workers, as columns that each worker updates in place."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray


class WorkerColumns:
    """One row for each worker of a pool. Python numbers are written to ``array``; NumPy reads the same memory."""

    __slots__ = ("_image_costs", "_loads", "image_costs", "loads", "open_breakers")

    def __init__(self, rows: int) -> None:
        self.loads = array("d", bytes(8 * rows))
        """Load of each worker, in requests."""
        self.image_costs = array("d", bytes(8 * rows))
        """Cost of an image of ``PIXELS_PER_IMAGE`` at each worker, in requests."""
        self.open_breakers = bytearray(rows)
        """1 if the worker's circuit breaker isn't closed."""
        self._loads: NDArray[np.float64] = np.ndarray(rows, buffer=self.loads)
        self._image_costs: NDArray[np.float64] = np.ndarray(rows, buffer=self.image_costs)

    def loads_of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return a copy of the loads of some rows."""
        return self._loads[rows]

    def image_costs_of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return a copy of the image costs of some rows."""
        return self._image_costs[rows]
