"""Metadata of the Open Inference Protocol; inputs and outputs are the same for every model."""

from __future__ import annotations

from typing import Any

import sarlens
from sarlens.api.oip.tensors import IMAGE, OUTPUTS, TEXT_INPUTS
from sarlens.errors import ModelNotFound

VERSION = "1"
"""The only version of every model."""
MODEL_PATHS = ("/v2/models/{model}", f"/v2/models/{{model}}/versions/{VERSION}")
"""Paths of a model over HTTP."""
_INPUTS = (IMAGE, *TEXT_INPUTS)


def server_metadata() -> dict[str, Any]:
    """Return ``ServerMetadataResponse``."""
    return {
        "name": "sarlens",
        "version": sarlens.__version__,
        "extensions": ["binary_tensor_data", "statistics", "generate"],
    }


def model_metadata(model: str) -> dict[str, Any]:
    """Return ``ModelMetadataResponse``."""
    inputs, outputs = (
        [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in names] for names in (_INPUTS, OUTPUTS)
    )
    return {"name": model, "versions": [VERSION], "platform": "sarlens", "inputs": inputs, "outputs": outputs}


def model_config(model: str) -> dict[str, Any]:
    """Return ``ModelConfig``; the model is decoupled, since a stream has one response per chunk of text."""
    inputs = [{"name": name, "data_type": "TYPE_STRING", "dims": [-1], "optional": True} for name in _INPUTS]
    outputs = [{"name": name, "data_type": "TYPE_STRING", "dims": [-1]} for name in OUTPUTS]
    policy = {"decoupled": True}
    return {
        "name": model,
        "platform": "sarlens",
        "input": inputs,
        "output": outputs,
        "model_transaction_policy": policy,
    }


def check_version(model: str, version: str) -> None:
    """Check the version of a model that a request names.

    Raises:
        ModelNotFound: the model has no such version.
    """
    if version not in {"", VERSION}:
        raise ModelNotFound(f"The model {model[:100]!r} has the version {VERSION} only.", param="model_version")


def repository_index_entry(model: str) -> dict[str, Any]:
    """Return ``RepositoryIndexResponse.ModelIndex``."""
    return {"name": model, "version": VERSION, "state": "READY", "reason": ""}
