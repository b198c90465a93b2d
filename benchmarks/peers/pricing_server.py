"""grpc.aio on uvloop, serving the market's exported protobuf by hand: `... PORT FOLDER`."""

import sys
from typing import Any

import grpc
import grpc.aio

from benchmarks.answering import run
from benchmarks.peers.pricing_messages import SERVICE, messages


async def main() -> None:
    """Serve until ended."""
    pricing = messages(sys.argv[2])

    async def total(request: Any, _context: Any) -> Any:
        """Sum quantity times price over all lines."""
        order = request.order
        cents = 0
        for line in order.lines:
            cents += line.qty * line.price
        result = pricing.Total(order_id=order.order_id, currency=order.currency, in_cents=cents)
        return pricing.TotalResponse(result=result)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        total,
        request_deserializer=pricing.TotalRequest.FromString,
        response_serializer=pricing.TotalResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Total": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    run(main)
