"""The state directory of a local stack: one stack at a time, and a file that says how to reach it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from sarlens.errors import StartupError
from sarlens.runtime.kept_secret import load_or_create_secret

_FILE = "stack.json"


class StackInfo(BaseModel):
    """A running local stack."""

    pid: int
    url: str
    """Base URL of the gateway."""
    grpc: str | None = None
    """Address of gRPC."""
    s3_endpoint: str | None = None
    """URL of the S3 server."""


@dataclass(frozen=True)
class StateDirectory:
    """A state directory that this process holds, and the files in it."""

    path: Path
    _file: IO[str]

    @property
    def database_url(self) -> str:
        """Database of jobs."""
        return f"sqlite:///{self.path.resolve() / 'jobs.db'}"

    @property
    def files(self) -> Path:
        """Directory of uploaded files and of the results of batches."""
        return self.path.resolve() / "files"

    @property
    def image_id_secret(self) -> str:
        """Secret of the ids under which the worker caches images."""
        return load_or_create_secret(self.path / "image-id-secret")

    @property
    def objects(self) -> Path:
        """Directory of the S3 server."""
        return self.path / "s3"

    @property
    def cache_environment(self) -> dict[str, str]:
        """Variables that keep the caches and configuration of a vLLM worker in the directory."""
        cache, config = self.path.resolve() / "cache", self.path.resolve() / "config"
        return {
            "XDG_CACHE_HOME": str(cache),
            "XDG_CONFIG_HOME": str(config),
            "VLLM_CACHE_ROOT": str(cache / "vllm"),
            "VLLM_CONFIG_ROOT": str(config / "vllm"),
            "HF_HOME": str(cache / "huggingface"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "torchinductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
        }

    def log(self, name: str) -> Path:
        """Log file of a child process."""
        return self.path / f"{name}.log"

    def write(self, info: StackInfo) -> None:
        """Say how to reach the stack."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(info.model_dump_json())
        self._file.flush()


@contextmanager
def lock_state(path: Path, info: StackInfo) -> Iterator[StateDirectory]:
    """Create a state directory if needed, and hold it until the context ends or the process dies.

    Raises:
        StartupError: another local stack holds it, or it can't be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / _FILE).open("a+")
    except OSError as error:
        raise StartupError(f"the state directory {path} can't be used: {os.strerror(error.errno or 0)}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(_in_use(path)) from None
        state = StateDirectory(path, file)
        state.write(info)
        try:
            yield state
        finally:
            file.truncate(0)


def read_running_stack(path: Path) -> StackInfo | None:
    """Return the stack that holds a state directory, or None if no stack does."""
    try:
        with (path / _FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return StackInfo.model_validate_json(file.read())
    except (OSError, ValidationError):
        pass
    return None


def _in_use(path: Path) -> str:
    running = read_running_stack(path)
    holder = f"process {running.pid}, {running.url}" if running else "it is starting or ending"
    return (
        f"another local stack uses the state directory {path} ({holder}); "
        "stop it, or choose another directory with --state"
    )
