"""The one request that all candidates answer: 355 bytes of JSON, summed into 85."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["BODY", "CENTS", "ORDER", "http_request"]

ORDER: dict[str, Any] = {
    "order_id": "0190b6a2-7c3e-7d41-9a55-3f2c8e1b7d04",
    "customer": "ada.lovelace@example.org",
    "currency": "EUR",
    "lines": [
        {"sku": "TEA-0001", "qty": 2, "price": 1250},
        {"sku": "CUP-0417", "qty": 6, "price": 899},
        {"sku": "POT-0032", "qty": 1, "price": 4900},
        {"sku": "TIN-1180", "qty": 3, "price": 375},
        {"sku": "SPN-0256", "qty": 6, "price": 215},
    ],
    "note": "ring twice, leave nothing inside",
}
BODY = msgspec.json.encode(ORDER)
CENTS = sum(line["qty"] * line["price"] for line in ORDER["lines"])


def http_request(path: str) -> bytes:
    """The order as the request that every HTTP candidate is sent."""
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(BODY), BODY)
    )
