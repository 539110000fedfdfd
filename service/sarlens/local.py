"""Everything on one machine: an S3 server, a vLLM worker on the CPU, and the gateway in front of them.

The two servers are children of this process and end with it, however it ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from sarlens.child import Child, ChildFailed, child
from sarlens.seaweed import BUCKET, KEYS, fill_bucket, free_port, s3_command
from sarlens.serve import listen, serve
from sarlens.settings import Settings
from sarlens.workers.vllm import cpu_environment, cpu_options, worker_command

_PATIENCE_S = 600
_SHOWN = 8

console = Console(stderr=True, highlight=False)


def run_local(settings: Settings, *, model: Path, scenes: Path | None, state: Path) -> None:
    """Run all three until a signal comes.

    Raises:
        CannotListen: the gateway's port is taken.
        VllmMissing, ChildFailed: a part cannot run.
    """
    taken = listen(settings.host, settings.port)
    state.mkdir(parents=True, exist_ok=True)
    s3_port, worker_port = free_port(), free_port()
    # The chain from which the gateway takes its credentials begins with the environment.
    os.environ.update(KEYS)
    with ExitStack() as stack:
        s3 = stack.enter_context(child("S3 server", s3_command(state / "s3", s3_port), KEYS, state / "s3.log"))
        command = worker_command(str(model), model.name, "127.0.0.1", worker_port, cpu_options())
        worker = stack.enter_context(child("vLLM worker", command, cpu_environment(), state / "worker.log"))
        start = _Start(
            s3=s3,
            worker=worker,
            endpoint=f"http://127.0.0.1:{s3_port}",
            worker_url=f"http://127.0.0.1:{worker_port}",
            gateway=f"http://localhost:{taken.getsockname()[1]}",
            model=model.name,
            scenes=scenes,
        )
        threading.Thread(target=start.run, daemon=True).start()
        serve(start.settings(settings), taken)
    if start.failure:
        raise ChildFailed(start.failure)


@dataclass
class _Start:
    """Waits for the children while the gateway already answers, and tells what happens meanwhile."""

    s3: Child
    worker: Child
    endpoint: str
    worker_url: str
    gateway: str
    model: str
    scenes: Path | None
    failure: str | None = field(default=None, init=False)

    def settings(self, given: Settings) -> Settings:
        """The gateway's settings, led to the children."""
        parts = {
            "s3": given.s3.model_copy(update={"endpoint": self.endpoint, "anonymous": False, "profile": None}),
            "worker": given.worker.model_copy(update={"urls": (self.worker_url,), "probe_s": 0.5}),
            "log_level": "error",
        }
        return given.model_copy(update=parts)

    def run(self) -> None:
        """Bring all up, or end this process with a reason."""
        began = time.monotonic()
        try:
            with console.status("Starting the S3 server …"):
                names = fill_bucket(self.s3, self.endpoint, self.scenes)
            shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
            console.print(f"[green]✓[/] S3 server at {self.endpoint}, bucket {BUCKET}: {shown or 'empty'}")
            with console.status("Starting the vLLM worker on the CPU; this takes about a minute …"):
                _wait_for(self.worker, f"{self.worker_url}/health")
                _wait_for(self.worker, f"{self.gateway}/readyz")
            console.print(f"[green]✓[/] vLLM worker at {self.worker_url} after {time.monotonic() - began:.0f} s")
        except ChildFailed as error:
            self.failure = str(error)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._announce(f"s3://{BUCKET}/{'port.tif' if 'port.tif' in names or not names else names[0]}")

    def _announce(self, image: str) -> None:
        console.print(f"[bold green]✓ Sarlens is ready at {self.gateway}[/], described at {self.gateway}/docs")
        console.print("\nPaste this to ask a scene something; Ctrl-C ends everything.\n")
        body = (
            f'{{"model":"{self.model}","messages":[{{"role":"user","content":['
            f'{{"type":"image_url","image_url":{{"url":"{image}"}}}},'
            '{"type":"text","text":"How many ships are in the image?"}]}]}'
        )
        # Plain and unwrapped, so that it can be pasted.
        console.out(f"curl {self.gateway}/v1/chat/completions -H 'content-type: application/json' -d '{body}'\n")
        console.out(f'.venv/bin/sarlens ask {image} "How many ships are in the image?" --show picture.png\n')


def _wait_for(server: Child, url: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        server.check()
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  an address on this machine
                return
        except OSError:
            time.sleep(0.3)
    raise ChildFailed(f"the {server.name} is not ready after {_PATIENCE_S} s; its log ends:\n{server.last_words()}")
