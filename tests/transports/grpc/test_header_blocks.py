"""What is held for header blocks until a client has taken our settings, however its bytes are cut."""

from __future__ import annotations

import pytest

from borough.transports.grpc.header_blocks import HeaderBlocks
from borough.transports.http.holding import Holding

HEADERS, SETTINGS, CONTINUATION = 1, 4, 9


def frame(kind: int, flags: int, data: bytes) -> bytes:
    return len(data).to_bytes(3) + bytes([kind, flags]) + (1).to_bytes(4) + data


BEGUN = bytes(24) + frame(SETTINGS, 0, bytes(6)) + frame(HEADERS, 0, bytes(100))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_block_is_held_until_it_ends_and_looked_at_until_the_settings_are_taken(
    step: int,
) -> None:
    holding = Holding(1_000_000)
    blocks = HeaderBlocks(holding, lambda: None)
    for data, held in (
        (BEGUN, 7_200),
        (frame(CONTINUATION, 0, bytes(50)), 10_800),
        (frame(CONTINUATION, 4, bytes(50)), 0),
    ):
        assert all(blocks.feed(data[at : at + step]) for at in range(0, len(data), step))
        assert holding.total == held
        assert not blocks.is_over
    assert blocks.feed(frame(SETTINGS, 1, b"") + frame(HEADERS, 0, bytes(100)))
    assert blocks.is_over
    assert holding.total == 0


def test_what_is_held_for_a_block_goes_with_its_connection() -> None:
    holding = Holding(1_000_000)
    blocks = HeaderBlocks(holding, lambda: None)
    assert blocks.feed(BEGUN)
    blocks.end()
    assert holding.total == 0
