"""The shop with one wrong answer: `python -m rigs.planted_answers FAULT run ...`, for proving the rig.

What stands between the edge and its clients here is no part of the product.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from borough.cli import main
from borough.gateway.edge import Edge
from borough.transports.http.message import Request, Response

__all__ = ["FAULTS"]

Fault = Callable[[Request, Response], Response]


def _body(response: Response) -> Any:
    return json.loads(response.body) if isinstance(response.body, bytes) else None


def _changed(response: Response, status: int, document: Any) -> Response:
    return Response(status, list(response.headers), json.dumps(document).encode())


def _failure(request: Request, response: Response) -> Response:
    """A search for something rare fails."""
    if request.path == "/search/items" and response.status == 200 and "%" in request.query:
        return _changed(response, 500, {"detail": "broken"})
    return response


def _wrong_type(request: Request, response: Response) -> Response:
    """A total is text."""
    if request.path.startswith("/orders/basket/") and response.status == 200:
        return _changed(response, 200, _body(response) | {"total_cents": "much"})
    return response


def _status(request: Request, response: Response) -> Response:
    """An order is answered with a status that no contract names."""
    if request.method == "POST" and request.path.endswith("/cancel") and response.status == 200:
        return _changed(response, 202, _body(response))
    return response


def _traceback(request: Request, response: Response) -> Response:
    """A refusal shows the inside."""
    if request.path.startswith("/orders/") and response.status == 404:
        words = 'Traceback (most recent call last):\n  File "/srv/shop/orders/service.py", line 1'
        return _changed(response, 404, _body(response) | {"detail": words})
    return response


def _secret(request: Request, response: Response) -> Response:
    """A login says the password again."""
    if request.path == "/accounts/sessions" and response.status == 201:
        given = json.loads(request.body)["password"]
        return _changed(response, 201, _body(response) | {"was": given})
    return response


def _open_door(request: Request, response: Response) -> Response:
    """A basket is shown to whoever asks."""
    if request.path == "/orders/basket" and response.status == 401:
        return Response(
            200, [(b"content-type", b"application/json")], b'{"lines":[],"total_cents":0}'
        )
    return response


def _logged(request: Request, response: Response) -> Response:
    """A password gets into the log."""
    if request.path == "/accounts/sessions":
        print(f"login with {request.body.decode()}", file=sys.stderr)
    return response


FAULTS: dict[str, Fault] = {
    "failure": _failure,
    "wrong-type": _wrong_type,
    "status": _status,
    "traceback": _traceback,
    "secret": _secret,
    "open-door": _open_door,
    "logged": _logged,
}


def plant(fault: Fault) -> None:
    """Put the fault between every edge of this process and its clients."""
    answer = Edge.answer

    async def wrong(edge: Edge, request: Request) -> Response:
        return fault(request, await answer(edge, request))

    def answered(edge: Edge, request: Request) -> Awaitable[Response]:
        return wrong(edge, request)

    Edge.answer = answered  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    plant(FAULTS[sys.argv[1]])
    sys.exit(main(sys.argv[2:]))
