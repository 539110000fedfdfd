"""What responses show about the batch route of a worker."""

from __future__ import annotations

from sarlens.workers.batch_route import BatchRoute


def test_a_route_is_unknown_until_a_response() -> None:
    """The first answer or the first failure decides, and a later failure doesn't revoke an answer."""
    route = BatchRoute(supported=True)
    assert route.exists is None
    route.on_missing()
    assert route.exists is False
    route = BatchRoute(supported=True)
    route.on_answer()
    route.on_missing()
    assert route.exists is True


def test_three_rejections_show_no_route() -> None:
    """Two rejections can be due to questions; the third one in a row shows that the worker has no route."""
    route = BatchRoute(supported=True)
    route.on_rejection()
    route.on_rejection()
    assert route.exists is None
    route.on_rejection()
    assert route.exists is False


def test_rejections_do_not_revoke_an_answer() -> None:
    """A worker that has answered a batch keeps its route, however many it rejects."""
    route = BatchRoute(supported=True)
    route.on_answer()
    for _ in range(9):
        route.on_rejection()
    assert route.exists is True


def test_another_process_may_have_a_route() -> None:
    """After ``forget`` the route is unknown, and rejections count from the start."""
    route = BatchRoute(supported=True)
    for _ in range(3):
        route.on_rejection()
    route.reset()
    assert route.exists is None
    route.on_rejection()
    assert route.exists is None


def test_a_protocol_without_batches_has_no_route() -> None:
    """A worker of such a protocol never gets a batch, even when its process is another one."""
    route = BatchRoute(supported=False)
    assert route.exists is False
    route.reset()
    assert route.exists is False
