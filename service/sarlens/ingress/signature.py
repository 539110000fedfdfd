"""What a model takes and gives in the Open Inference Protocol: the same for every model, over every wire."""

from __future__ import annotations

from typing import Any

import sarlens
from sarlens.ingress.tensors import IMAGE, OUTPUTS, WORDS

VERSION = "1"
_INPUTS = (IMAGE, *WORDS)


def server_metadata() -> dict[str, Any]:
    """``ServerMetadataResponse``."""
    return {"name": "sarlens", "version": sarlens.__version__, "extensions": ["binary_tensor_data", "statistics"]}


def model_metadata(model: str) -> dict[str, Any]:
    """``ModelMetadataResponse``."""
    inputs, outputs = (
        [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in names] for names in (_INPUTS, OUTPUTS)
    )
    return {"name": model, "versions": [VERSION], "platform": "sarlens", "inputs": inputs, "outputs": outputs}


def model_config(model: str) -> dict[str, Any]:
    """``ModelConfig``: a stream has as many responses as the model has pieces of text."""
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


def index_entry(model: str) -> dict[str, Any]:
    """``RepositoryIndexResponse.ModelIndex``."""
    return {"name": model, "version": VERSION, "state": "READY", "reason": ""}
