"""A worker that calls PricingService by the market's exported protobuf: `... PORT FOLDER`.

The same for whoever serves it; its request is built anew for each call, over one channel.
"""

import sys
from typing import Any

import grpc.aio

from benchmarks.answering import answer_lines, run
from benchmarks.closed_loop import closed_loop
from benchmarks.payload import CENTS, ORDER
from benchmarks.peers.pricing_messages import TOTAL, messages


async def main() -> None:
    """Answer until standard input ends."""
    pricing = messages(sys.argv[2])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        total: Any = channel.unary_unary(
            TOTAL,
            request_serializer=pricing.TotalRequest.SerializeToString,
            response_deserializer=pricing.TotalResponse.FromString,
        )

        async def call() -> None:
            answer = await total(pricing.TotalRequest(order=ORDER), timeout=10)
            assert answer.result.in_cents == CENTS

        await answer_lines(lambda asked: closed_loop(call, **asked))


if __name__ == "__main__":
    run(main)
