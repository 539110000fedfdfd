"""LoRA adapters of running workers: loaded on all workers of a base model, or on none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

import orjson
import structlog

from sarlens.errors import BadRequest, ModelNotFound, NoWorkerAvailable, Timeout, WorkerFailed
from sarlens.inference.worker_error import error_of_body
from sarlens.workers.pool import WorkerPool
from sarlens.workers.worker import Worker

log = structlog.get_logger(__name__)

_LOAD, _UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
_NO_ROUTE = "has no route for adapters: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


class Adapter(NamedTuple):
    """An adapter that ready workers serve."""

    name: str
    path: str | None
    """Directory or name from which the workers loaded it, if they say."""
    base: str
    """Base model."""
    workers: Sequence[str]
    """URLs of the workers that serve it."""
    missing: Sequence[str]
    """URLs of the ready workers that serve its base model without it."""


class AdapterService:
    """Loads and unloads adapters by vLLM's routes, one change at a time."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._changing = asyncio.Lock()

    def adapters(self) -> list[Adapter]:
        """Return the adapters of ready workers, by name."""
        ready = [worker for worker in self._pool.workers if worker.ready]
        found: dict[tuple[str, str], str | None] = {}
        for worker in ready:
            for name, card in worker.models.items():
                if isinstance(card.get("parent"), str):
                    root = card.get("root")
                    found.setdefault((name, card["parent"]), root if isinstance(root, str) else None)
        return [
            Adapter(
                name,
                path,
                base,
                [worker.client.url for worker in ready if name in worker.models],
                [worker.client.url for worker in ready if base in worker.models and name not in worker.models],
            )
            for (name, base), path in sorted(found.items())
        ]

    async def load(self, name: str, path: str, base: str | None = None) -> list[str]:
        """Load an adapter on all workers that serve its base model, and return their URLs.

        Workers that serve the adapter from the same path keep it. If a worker fails, the others unload it again.

        Args:
            name: name under which the workers serve it.
            path: directory on the workers, or another name that they resolve.
            base: base model; None if all workers serve the same one.

        Raises:
            BadRequest: the name is taken, or the workers serve several base models.
            ModelNotFound: no worker serves the base model.
            NoWorkerAvailable: a worker isn't ready, so it couldn't be changed with the others.
            WorkerFailed: a worker failed; no worker has the adapter that hadn't it before.
        """
        async with self._changing:
            workers = self._workers_of(base)
            for worker in workers:
                _check_name(worker, name, path)
            new = [worker for worker in workers if name not in worker.models]
            failures = await self._change(new, _LOAD, {"lora_name": name, "lora_path": path})
            unlisted = [worker for worker in new if name not in worker.models]
            failures = dict.fromkeys(unlisted, "doesn't list it") | failures
            if failures:
                await self._change(new, _UNLOAD, {"lora_name": name})
                kept = [worker for worker in new if name in worker.models]
                raise _failure(f"The adapter {name!r} isn't loaded", failures, kept)
            log.info("adapter loaded", adapter=name, workers=len(workers))
            return [worker.client.url for worker in workers]

    async def unload(self, name: str) -> list[str]:
        """Unload an adapter from all workers that serve it, and return their URLs.

        Raises:
            ModelNotFound: no ready worker serves such an adapter.
            WorkerFailed: a worker failed; the others have unloaded it.
        """
        async with self._changing:
            workers = [worker for worker in self._pool.workers if worker.ready and _is_adapter(worker, name)]
            if not workers:
                raise ModelNotFound(f"No ready worker serves an adapter {name!r}.", param="name")
            if failures := await self._change(workers, _UNLOAD, {"lora_name": name}):
                raise _failure(f"The adapter {name!r} isn't unloaded everywhere", failures)
            log.info("adapter unloaded", adapter=name, workers=len(workers))
            return [worker.client.url for worker in workers]

    def _workers_of(self, base: str | None) -> list[Worker]:
        workers = [worker for worker in self._pool.workers if base is None or base in worker.models]
        if not workers and base is not None:
            raise ModelNotFound(f"No worker serves the base model {base!r}.", param="base")
        unready = [worker.client.url for worker in workers if not worker.ready]
        if unready or not workers:
            reason = f"these workers aren't ready: {', '.join(unready)}" if unready else "no worker is known"
            raise NoWorkerAvailable(f"The adapter can't be loaded on all workers: {reason}.", retry_after=2)
        bases = {model for worker in workers for model, card in worker.models.items() if not card.get("parent")}
        if base is None and len(bases) > 1:
            raise BadRequest(f"base is required, because the workers serve {', '.join(sorted(bases))}.", param="base")
        return workers

    async def _change(self, workers: Sequence[Worker], path: str, body: Mapping[str, str]) -> dict[Worker, str]:
        """Send a request to all workers, read their models again, and return why some failed."""
        reasons = await asyncio.gather(*(_post(worker, path, orjson.dumps(body)) for worker in workers))
        await asyncio.gather(*(worker.probe() for worker in workers))
        return {worker: reason for worker, reason in zip(workers, reasons, strict=True) if reason is not None}


async def _post(worker: Worker, path: str, body: bytes) -> str | None:
    """Return why a worker rejected a request; None if it didn't."""
    try:
        response = await worker.client.send(path, body, uuid4().hex, {}, stream=False)
    except (WorkerFailed, Timeout) as error:
        return f"failed: {error.message}"
    status, answer = response.status, response.first_chunk
    response.close()
    if status < 300:
        return None
    message = str(error_of_body(status, answer)["message"])
    return _NO_ROUTE if status in {404, 405} and message in {"Not Found", "Method Not Allowed"} else f"says: {message}"


def _is_adapter(worker: Worker, name: str) -> bool:
    return bool(worker.models.get(name, {}).get("parent"))


def _check_name(worker: Worker, name: str, path: str) -> None:
    """Raise BadRequest if a worker serves something else under a name."""
    card = worker.models.get(name)
    if card is not None and (not card.get("parent") or card.get("root") not in {None, path}):
        kind = f"an adapter from {card.get('root')}" if card.get("parent") else "a base model"
        raise BadRequest(f"{worker.client.url} serves {kind} as {name!r}. Unload it, or choose another name.")


def _failure(summary: str, failures: Mapping[Worker, str], kept: Sequence[Worker] = ()) -> WorkerFailed:
    sentences = [f"{worker.client.url} {reason.rstrip('.')}." for worker, reason in failures.items()]
    sentences += [f"{worker.client.url} still has it." for worker in kept]
    return WorkerFailed(f"{summary}: {' '.join(sentences)}")
