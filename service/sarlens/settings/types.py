"""Types of settings, and the base of their groups."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sarlens.workers.discovery.base_url import normalize_base_url
from sarlens.workers.discovery.location import make_discovery

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=0)]

_OPERATOR_ROUTE = re.compile(
    r"^/(?:inference/.*|invocations|ping|metrics|health|load|server_info|fault_tolerance/.*|cohere/.*)$"
    r"|/(?:de)?render$"  # parts of a request that workers with --enable-scale-out exchange
    r"|/\w*(?:lora|adapter|cache|profile|sleep|wake|pause|resume|abort|collective|elastic|weight|memory|shutdown|flush"
    r"|restart|update|kill|internal|debug|config|admin)\w*(?:/|$)",
    re.IGNORECASE,
)


def _check_worker_location(location: str) -> str:
    make_discovery(location)
    return location


def _normalize_collector_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("the collector URL must be a base URL such as http://collector:4318")
    return normalize_base_url(url).removesuffix("/v1/traces")


def _check_tile_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
        raise ValueError("must be an http: or https: URL without credentials")
    if not all(name in url for name in ("{z}", "{x}", "{y}")):
        raise ValueError("must contain {z}, {x} and {y}")
    return url


def _check_forward_path(path: str) -> str:
    if len(path) > 128 or not re.fullmatch(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){1,8}", path):
        raise ValueError("must be the path of a worker's route, such as /v1/score")
    if _OPERATOR_ROUTE.search(path):
        raise ValueError(f"{path} is a route for operators, or one with which a request can end the worker")
    return path


HttpUrl = Annotated[str, AfterValidator(normalize_base_url)]
WorkerLocation = Annotated[str, AfterValidator(_check_worker_location)]
CollectorUrl = Annotated[str, AfterValidator(_normalize_collector_url)]
ForwardPath = Annotated[str, AfterValidator(_check_forward_path)]
TileUrl = Annotated[str, AfterValidator(_check_tile_url)]


class SettingsGroup(BaseModel):
    """Settings that share a prefix, such as ``SARLENS_WORKER__``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
