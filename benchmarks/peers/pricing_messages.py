"""The messages of the market's protobuf, as it was exported into a folder, compiled at import."""

import sys
from typing import Any

import grpc

__all__ = ["SERVICE", "TOTAL", "messages"]

SERVICE = "pricing.v1.PricingService"
TOTAL = f"/{SERVICE}/Total"


def messages(folder: str) -> Any:
    """The compiled module."""
    sys.path.insert(0, folder)
    compiled: Any = grpc.protos("pricing/v1/pricing.proto")
    return compiled
