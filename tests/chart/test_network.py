"""IP families, the mesh, and proxies in front of the gateway."""

from __future__ import annotations

import socket

import pytest

from chart.rendering import EVERYTHING, Object, everything, merged, of_kind, render, rendered
from sarlens.server.server import bind_socket
from sarlens.settings import Settings


def test_the_ingress_allows_what_the_gateway_allows() -> None:
    """Without annotations of your own, every controller allows the gateway's largest body and an hour of silence."""
    (ingress,) = of_kind(rendered(EVERYTHING), "Ingress")
    annotations = ingress["metadata"]["annotations"]
    largest = str(Settings().limit.max_body_bytes)
    for name in ("nginx.ingress.kubernetes.io/proxy-body-size", "nginx.org/client-max-body-size"):
        assert annotations[name] == largest
    assert annotations["haproxy-ingress.github.io/proxy-body-size"] == largest
    for name in ("nginx.ingress.kubernetes.io/proxy-read-timeout", "nginx.ingress.kubernetes.io/proxy-send-timeout"):
        assert annotations[name] == "3600"
    for name in ("nginx.org/proxy-read-timeout", "haproxy.org/timeout-server", "projectcontour.io/response-timeout"):
        assert annotations[name] == "3600s"
    assert annotations["alb.ingress.kubernetes.io/load-balancer-attributes"] == "idle_timeout.timeout_seconds=3600"
    (route,) = of_kind(rendered(EVERYTHING), "HTTPRoute")
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}


def test_a_gateway_on_all_addresses_accepts_both_families() -> None:
    """The address `::`, on which the chart's gateways listen, accepts IPv4 and IPv6."""
    (settings,) = (
        item["data"] for item in of_kind(rendered(EVERYTHING), "ConfigMap") if "SARLENS_HOST" in item["data"]
    )
    try:
        listener = bind_socket(settings["SARLENS_HOST"], 0)
    except OSError:
        pytest.skip("this kernel has no IPv6")
    with listener:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, listener.getsockname()[1]), timeout=5):
                pass


def test_a_mesh_has_its_routes() -> None:
    """With Istio, every pod reaches istiod and starts after its sidecar; without it, nothing of Istio is rendered."""
    in_mesh = render(merged(everything(), {"istio": {"enabled": True, "namespace": "mesh"}}))
    for item in of_kind(in_mesh, "Deployment", "StatefulSet"):
        annotations = item["spec"]["template"]["metadata"]["annotations"]
        assert annotations["proxy.istio.io/config"] == "holdApplicationUntilProxyStarts: true"
    for policy in of_kind(in_mesh, "NetworkPolicy"):
        egress = policy["spec"]["egress"]
        istiod = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mesh"}}}
        assert {"to": [istiod], "ports": [{"port": 15012, "protocol": "TCP"}]} in egress
        assert any({"port": 53, "protocol": "UDP"} in rule["ports"] for rule in egress)
    assert "istio" not in str(rendered(EVERYTHING))


def test_ports_have_their_protocols() -> None:
    """Each port of a Service names its protocol, on which meshes and load balancers depend.

    Gateways connect to the addresses of worker pods. For these, Istio has mutual TLS only if the port is TCP.
    """

    def ports(objects: list[Object]) -> dict[tuple[str, int], str]:
        return {
            (item["metadata"]["name"], port["port"]): port["appProtocol"]
            for item in of_kind(objects, "Service")
            for port in item["spec"]["ports"]
        }

    assert ports(rendered(EVERYTHING)) == {
        ("demo-sarlens", 8080): "http",
        ("demo-sarlens", 8081): "kubernetes.io/h2c",
        ("demo-sarlens-management", 8082): "http",
        ("demo-sarlens-qwen", 8000): "tcp",
    }
    tls = {"gateway": {"grpc": {"tlsSecretName": "tls"}}, "gatewayApi": {"grpcHostnames": []}}
    assert ports(render(merged(everything(), tls)))[("demo-sarlens", 8081)] == "https"
