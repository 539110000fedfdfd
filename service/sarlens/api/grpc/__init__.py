"""gRPC: the Open Inference Protocol and the typed service ``sarlens.v1``."""
