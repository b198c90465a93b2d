"""The messages of pricing.proto, compiled at import, and the method's name."""

from typing import Any

import grpc

METHOD = "/pricing.Pricing/Price"

messages: Any = grpc.protos("benchmarks/peers/pricing.proto")
