"""FastAPI with pydantic models and no middleware; `python -m benchmarks.peers.fastapi_app PORT`."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Line(BaseModel):
    """One position of an order."""

    sku: str
    qty: int
    price: int


class Order(BaseModel):
    """What is to be priced."""

    order_id: str
    customer: str
    currency: str
    lines: list[Line]
    note: str


class Total(BaseModel):
    """What it costs."""

    order_id: str
    currency: str
    in_cents: int


app = FastAPI()


@app.post("/pricing/totals")
async def total(order: Order) -> Total:
    """Sum quantity times price over all lines."""
    cents = sum(line.qty * line.price for line in order.lines)
    return Total(order_id=order.order_id, currency=order.currency, in_cents=cents)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="warning",
    )
