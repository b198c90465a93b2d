"""An application has so many streams open; what is no stream it answers beside them."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from borough.contracts.marks import ANYONE
from borough.errors import ServiceFailure
from borough.gateway.edge import EdgeSettings
from borough.gateway.raw import Asgi, RawLimits, RawMount
from tests.gateway.library import Seen, Town, request


def full(path: Path, app: Asgi, streams: int, settings: EdgeSettings | None = None) -> Town:
    """An edge before `app`, which may have that many streams open."""
    mount = RawMount("library", "/library/raw", ANYONE, app)
    return Town(path, settings, raws=[mount], raw_limits=RawLimits(streams=streams))


async def ticking_or_short(scope: Any, receive: Any, send: Any) -> None:
    """Goes on for ever, or answers at once where that is asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["query_string"] == b"short":
        await send({"type": "http.response.body", "body": b"short"})
        return
    await send({"type": "http.response.body", "body": b"tick", "more_body": True})
    await asyncio.Event().wait()


async def test_an_application_with_all_its_streams_open_still_gives_short_answers(
    tmp_path: Path,
) -> None:
    town = full(tmp_path, ticking_or_short, 1)
    first = await town.edge.answer(request("GET", "/library/raw"))
    assert (await town.get("/library/raw")).status == 503
    assert (await town.get("/library/raw?short")).body == b"short"
    await first.body.aclose()  # type: ignore[union-attr]
    await town.edge.close()


@pytest.mark.parametrize(("method", "may_repeat"), [("GET", True), ("POST", False)])
@pytest.mark.parametrize(("of_all", "of_client", "status"), [(0, 1, 503), (1, 0, 429)])
async def test_a_stream_too_many_that_has_begun_may_be_asked_for_again_only_by_what_reads(
    tmp_path: Path, method: str, may_repeat: bool, of_all: int, of_client: int, status: int
) -> None:
    town = full(tmp_path, ticking_or_short, of_all, EdgeSettings(streams_per_client=of_client))
    refused = await town.ask(method, "/library/raw")
    assert (refused.status, refused.json["retryable"]) == (status, may_repeat)
    await town.edge.close()


async def test_a_stream_that_nobody_reads_ends_whatever_the_application_makes_of_its_cancellation(
    tmp_path: Path,
) -> None:
    is_full = asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for count in range(1000):
                if count == 9:  # one is read, and eight may wait
                    is_full.set()
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        except asyncio.CancelledError:
            raise RuntimeError("cancelled") from None

    town = full(tmp_path, stubborn, 1)
    begun = await town.edge.answer(request("GET", "/library/raw"))
    async with asyncio.timeout(10):
        await is_full.wait()
        await begun.body.aclose()  # type: ignore[union-attr]
    await town.edge.close()


def announcing(length: int, *pieces: bytes) -> Asgi:
    """Says how long its answer is, and sends these pieces."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        fields = [(b"Content-Length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return app


@pytest.mark.parametrize("pieces", [(b"tick", b"t"), (b"tick", b"tock", b"!")])
async def test_a_stream_that_is_shorter_or_longer_than_was_announced_breaks_off(
    tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    town = full(tmp_path, announcing(8, *pieces), 1)
    with pytest.raises(ServiceFailure, match="had announced"):
        await town.get("/library/raw")
    await town.edge.close()


async def test_a_stream_as_long_as_was_announced_is_whole(tmp_path: Path) -> None:
    town = full(tmp_path, announcing(8, b"tick", b"tock"), 1)
    answer = await town.edge.answer(request("GET", "/library/raw"))
    assert answer.length == 8
    assert (await Seen.of(answer)).body == b"ticktock"
    await town.edge.close()


def sending(*messages: dict[str, Any]) -> Asgi:
    """Sends these messages, and then waits for the end of the request."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send({"type": "http.response.body", "status": 200, **message})
        await receive()
        await receive()

    return app


START = {"type": "http.response.start"}


@pytest.mark.parametrize(
    "pieces",
    [
        ({"body": memoryview(b"ticktock")},),
        ({"body": bytearray(b"ticktock")},),
        ({"body": memoryview(b"tick"), "more_body": True}, {"body": bytearray(b"tock")}),
    ],
)
async def test_an_application_may_send_whatever_is_of_bytes(
    tmp_path: Path, pieces: tuple[dict[str, Any], ...]
) -> None:
    town = full(tmp_path, sending(START, *pieces), 1)
    assert (await town.get("/library/raw")).body == b"ticktock"
    await town.edge.close()


async def test_a_piece_that_an_application_has_sent_stays_as_it_was(tmp_path: Path) -> None:
    async def reusing(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        buffer = bytearray(b"tick")
        await send({"type": "http.response.body", "body": buffer, "more_body": True})
        buffer[:] = b"tock"
        await send({"type": "http.response.body", "body": buffer})

    town = full(tmp_path, reusing, 1)
    assert (await town.get("/library/raw")).body == b"ticktock"
    await town.edge.close()


@pytest.mark.parametrize(
    "messages",
    [
        (START, {"body": "tick"}),
        (START, {"body": 4}),
        (START, {"body": None, "more_body": True}),
        ({**START, "headers": [("content-type", "text/plain")]}, {"body": b"tick"}),
        ({**START, "headers": None}, {"body": b"tick", "more_body": True}),
    ],
)
async def test_an_application_that_sends_what_is_not_of_bytes_has_failed(
    tmp_path: Path, messages: tuple[dict[str, Any], ...]
) -> None:
    town = full(tmp_path, sending(*messages), 1)
    async with asyncio.timeout(5):
        assert (await town.get("/library/raw")).status == 500
        assert len(asyncio.all_tasks()) == 1
    await town.edge.close()


async def test_an_application_that_answers_with_a_status_that_no_client_reads_is_ended(
    tmp_path: Path,
) -> None:
    is_ended = asyncio.Event()

    async def never_final(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 101, "headers": []})
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        try:
            await asyncio.Event().wait()
        finally:
            is_ended.set()

    town = full(tmp_path, never_final, 1)
    assert (await town.get("/library/raw")).status == 500
    assert is_ended.is_set()
    await town.edge.close()


async def awaiting_what_was_cancelled(scope: Any, receive: Any, send: Any) -> None:
    """Fails so before its answer, or within it."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    if scope["query_string"] == b"within":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
    await gone


@pytest.mark.parametrize("error", [SystemExit(3), BaseExceptionGroup("both", [SystemExit(3)])])
async def test_an_application_that_exits_has_failed_at_once(
    tmp_path: Path, error: BaseException
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    town = full(tmp_path, app, 1)
    async with asyncio.timeout(5):
        assert (await town.get("/library/raw")).status == 500
    await town.edge.close()


async def test_an_application_that_awaits_what_was_cancelled_has_failed(tmp_path: Path) -> None:
    town = full(tmp_path, awaiting_what_was_cancelled, 1)
    async with asyncio.timeout(5):
        assert (await town.get("/library/raw")).status == 500
        with pytest.raises(ServiceFailure, match="failed while it answered"):
            await town.get("/library/raw?within")
    await town.edge.close()


async def test_who_leaves_an_application_that_cancels_within_is_no_failure_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # as the task groups of anyio do
            ended.set()
            raise

    town = full(tmp_path, app, 1)
    begun = await town.edge.answer(request("GET", "/library/raw"))
    async with asyncio.timeout(10):
        await begun.body.aclose()  # type: ignore[union-attr]
        await ended.wait()
    await town.edge.close()
    assert "failed" not in caplog.text


async def test_an_application_that_waits_for_its_client_to_leave_ends_by_itself(
    tmp_path: Path,
) -> None:
    ends: list[str] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        leaving = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        try:
            ends.append((await leaving)["type"])
        except asyncio.CancelledError:
            ends.append("cancelled")

    town = full(tmp_path, app, 1)
    begun = await town.edge.answer(request("GET", "/library/raw"))
    await asyncio.sleep(0)  # it waits for its client from here on
    async with asyncio.timeout(10):
        await begun.body.aclose()  # type: ignore[union-attr]
    await town.edge.close()
    assert ends == ["http.disconnect"]


async def test_a_thread_of_an_application_keeps_nobody_waiting_beyond_the_deadline_and_is_counted(
    tmp_path: Path,
) -> None:
    is_released = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        thread = asyncio.ensure_future(is_released.wait())
        while not thread.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(thread)

    mount = RawMount("library", "/library/raw", ANYONE, app)
    town = Town(tmp_path, raws=[mount], raw_limits=RawLimits(after_answers=1))
    async with asyncio.timeout(10):
        late = await town.ask("GET", "/library/raw", headers={"Borough-Timeout-Ms": "20"})
        refused = await town.get("/library/raw")
    assert (late.status, refused.status) == (504, 429)
    is_released.set()
    await town.edge.close()
