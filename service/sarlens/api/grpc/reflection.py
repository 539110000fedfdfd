"""Server reflection under both names of its protocol: ``v1``, and ``v1alpha`` of older clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICE_V1 = f"{_V1}.ServerReflection"


def enable_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Serve reflection of these services and of itself. Messages of both versions have the same bytes."""
    _describe_v1()
    names = (*services, reflection.SERVICE_NAME, SERVICE_V1)
    reflection.enable_server_reflection(names, server)
    servicer = reflection.aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods: dict[str, Any] = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_V1, methods),))


def _describe_v1() -> None:
    """Add the descriptor of ``v1``, which is that of ``v1alpha`` under another name, unless it is known."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(SERVICE_V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        _rename(file)
        pool.AddSerializedFile(file.SerializeToString())


def _rename(file: descriptor_pb2.FileDescriptorProto) -> None:
    file.name, file.package = "grpc/reflection/v1/reflection.proto", _V1
    fields = [field for message in file.message_type for field in message.field if field.type_name]
    methods = [method for service in file.service for method in service.method]
    for field in fields:
        field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for method in methods:
        method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
        method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
