"""The message of a local stack that is ready: addresses, and commands to paste."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.console import Console

from sarlens.devstack.seaweedfs import BUCKET, S3_CREDENTIALS
from sarlens.devstack.state import StackInfo

_QUESTION = "How many harbors are in the image?"


def print_greeting(console: Console, stack: StackInfo, model: str, keys: list[str]) -> None:
    """Print how to reach a stack.

    Args:
        console: where to print.
        stack: addresses of the stack.
        model: name of the model.
        keys: keys of the bucket.
    """
    image = f"s3://{BUCKET}/{'port.tif' if 'port.tif' in keys or not keys else keys[0]}"
    console.print(f"[bold green]✓ Sarlens is ready at {stack.url}[/], described at {stack.url}/docs")
    if stack.grpc:
        console.print(f"  gRPC at {stack.grpc}")
    console.print("\nPaste a command to ask about a scene. Ctrl-C ends everything.\n")
    # Plain and unwrapped, so that you can paste it.
    console.out(f"{_curl_question(stack.url, model, image)}\n")
    console.out(f'{_sarlens()} ask {image} "{_QUESTION}"{_url_option(stack)} --show picture.png\n')
    console.print("Your own file: pass its path instead of the URL, or put it into the bucket.\n")
    console.out(f"{_curl_upload(stack)}\n")


def _curl_question(url: str, model: str, image: str) -> str:
    body = (
        f'{{"model":"{model}","messages":[{{"role":"user","content":['
        f'{{"type":"image_url","image_url":{{"url":"{image}"}}}},'
        f'{{"type":"text","text":"{_QUESTION}"}}]}}]}}'
    )
    return f"curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'"


def _curl_upload(stack: StackInfo) -> str:
    login = f"{S3_CREDENTIALS['AWS_ACCESS_KEY_ID']}:{S3_CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    signature = f"aws:amz:{S3_CREDENTIALS['AWS_REGION']}:s3"
    return f"curl --aws-sigv4 {signature} --user {login} --upload-file FILE {stack.s3_endpoint}/{BUCKET}/FILE"


def _url_option(stack: StackInfo) -> str:
    return "" if stack.url == "http://localhost:8080" else f" --url {stack.url}"


def _sarlens() -> str:
    """Return how to call the command from the current directory."""
    script = Path(sys.executable).with_name("sarlens")
    on_path = shutil.which("sarlens")
    if on_path and Path(on_path).resolve() == script.resolve():
        return "sarlens"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)
