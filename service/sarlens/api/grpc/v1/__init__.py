"""``sarlens.v1``, the typed gRPC service: ``sar.proto`` and what protoc makes of it (``make proto``)."""
