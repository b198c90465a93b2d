"""A worker that calls grpc_server over one channel, its request built anew for each call."""

import sys
from typing import Any

import grpc.aio

from benchmarks.answering import answer_lines, run
from benchmarks.closed_loop import closed_loop
from benchmarks.payload import CENTS, ORDER
from benchmarks.peers.grpc_messages import METHOD, messages


async def main() -> None:
    """Answer until standard input ends."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        price: Any = channel.unary_unary(
            METHOD,
            request_serializer=messages.Order.SerializeToString,
            response_deserializer=messages.Total.FromString,
        )

        async def call() -> None:
            lines = [messages.Line(**line) for line in ORDER["lines"]]
            answer = await price(messages.Order(**{**ORDER, "lines": lines}), timeout=10)
            assert answer.in_cents == CENTS

        await answer_lines(lambda asked: closed_loop(call, **asked))


if __name__ == "__main__":
    run(main)
