"""Service discovery from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sarlens.validation import InvalidField
from sarlens.workers.discovery.base import NO_NAMES, DiscoveryError, DiscoveryScheme, EndpointWeights
from sarlens.workers.discovery.base_url import normalize_base_url

_MAX_FILE_BYTES = 2**20


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0


_ENTRIES = TypeAdapter(list[_Entry])


class FileDiscovery:
    """A JSON file such as ``[{"url": "http://gpu-1:8000", "weight": 0.1}]``, read again at every attempt."""

    scheme: DiscoveryScheme = "file"
    names = NO_NAMES

    def __init__(self, path: Path) -> None:
        self._path = path

    async def endpoints(self) -> EndpointWeights:
        """Return the endpoints in the file."""
        try:
            if self._path.stat().st_size > _MAX_FILE_BYTES:
                raise DiscoveryError(f"{self._path.name} has more than {_MAX_FILE_BYTES} bytes")
            return {
                normalize_base_url(entry.url): entry.weight for entry in _ENTRIES.validate_json(self._path.read_bytes())
            }
        except OSError as error:
            raise DiscoveryError(f"{self._path.name} can't be read: {error.strerror}") from None
        except ValidationError as error:
            raise DiscoveryError(f"{self._path.name}: {InvalidField.first(error).describe('the file')}") from None
        except ValueError as error:
            raise DiscoveryError(f"{self._path.name}: {error}") from None

    async def close(self) -> None:
        """Do nothing: no connection is open."""
