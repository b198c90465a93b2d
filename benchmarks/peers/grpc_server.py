"""grpc.aio on uvloop, one unary method; `python -m benchmarks.peers.grpc_server PORT`."""

import sys
from typing import Any

import grpc
import grpc.aio

from benchmarks.answering import run
from benchmarks.peers.grpc_messages import messages


async def price(order: Any, _context: Any) -> Any:
    """Sum quantity times price over all lines."""
    cents = sum(line.qty * line.price for line in order.lines)
    return messages.Total(order_id=order.order_id, currency=order.currency, in_cents=cents)


async def main() -> None:
    """Serve until ended."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        price,
        request_deserializer=messages.Order.FromString,
        response_serializer=messages.Total.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("pricing.Pricing", {"Price": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    run(main)
