"""``/adapters`` of the management port: LoRA adapters of all workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from sarlens.api.common.schemas import parse_body
from sarlens.errors import PayloadTooLarge
from sarlens.inference.adapters import AdapterService

_MAX_BODY_BYTES = 16 * 2**10

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Path = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,1024}$")]


class LoadAdapterBody(BaseModel):
    """Body of ``POST /adapters``."""

    name: Name = Field(description="Name under which the workers serve the adapter.")
    path: Path = Field(description="Directory of the adapter on the workers, or a name that they resolve.")
    base: str | None = Field(None, description="Base model. Optional if the workers serve one.")


class AdapterStatus(BaseModel):
    """An adapter that ready workers serve."""

    name: str = Field(description="Name.")
    path: str | None = Field(description="Directory from which the workers loaded it.")
    base: str = Field(description="Base model.")
    workers: list[str] = Field(description="Workers that serve it.")
    missing: list[str] = Field(description="Ready workers that serve its base model without it.")


class AdapterChange(BaseModel):
    """The workers that a change reached."""

    workers: list[str] = Field(description="URLs of the workers.")


def adapters_router(service: AdapterService) -> APIRouter:
    """The routes of adapters, for operators."""
    router = APIRouter(tags=["workers"])

    @router.get("/adapters")
    async def adapters() -> list[AdapterStatus]:
        """List the adapters of ready workers."""
        return [AdapterStatus(**adapter._asdict()) for adapter in service.adapters()]

    @router.post("/adapters")
    async def load(request: Request) -> AdapterChange:
        """Load an adapter on all workers of its base model, or on none."""
        body = parse_body(LoadAdapterBody, await _read(request))
        return AdapterChange(workers=await service.load(body.name, body.path, body.base))

    @router.delete("/adapters/{name:path}")
    async def unload(name: str) -> AdapterChange:
        """Unload an adapter from all workers."""
        return AdapterChange(workers=await service.unload(name[:128]))

    return router


async def _read(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise PayloadTooLarge(f"The body exceeds the limit of {_MAX_BODY_BYTES} bytes.")
    return body
