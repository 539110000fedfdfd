"""Free ports for servers that start later."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from sarlens.devstack.ports import free_port_near, free_ports, is_free


def test_free_ports_are_different_and_below_the_ephemeral_ports() -> None:
    """Two hundred ports are distinct, can be bound, and are none that an outgoing connection can occupy."""
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert {20_000 <= port < 32_768 for port in ports} == {True}
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))


def test_an_occupied_port_is_replaced() -> None:
    """A port with a server isn't free, and its neighbour request returns another one; a free port stays."""
    (port,) = free_ports(1)
    assert (is_free(port), free_port_near(port)) == (True, port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert free_port_near(port) != port
    assert not is_free(70_000)
