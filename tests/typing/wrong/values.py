"""Values that are not what was declared, or that are changed."""

from borough import UNSET, Event, Key, Page, Problem, Struct, Unset


class Money(Struct):
    cents: int
    currency: str = "EUR"
    note: str | Unset = UNSET


class CardDeclined(Problem, status=402):
    reason: str


class Captured(Event):
    order_id: Key[str]
    amount: Money


money = Money(cents=1)
money.cents = 2  # expect-mypy: misc  # expect-pyright: reportAttributeAccessIssue
Money(cents="1")  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
Money(currency="EUR")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
Money(1)  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
Money(cents=1, colour="red")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
Money(cents=1, note=None)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType

CardDeclined(reason=1)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
CardDeclined()  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
CardDeclined("no")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
CardDeclined(reason="no", code="x")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue

event = Captured(order_id="a", amount=money)
event.order_id = "b"  # expect-mypy: misc  # expect-pyright: reportAttributeAccessIssue
Captured(order_id=1, amount=money)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
Captured(order_id="a")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
Captured(order_id="a", amount=1)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
print(event.amounts)  # expect-mypy: attr-defined  # expect-pyright: reportAttributeAccessIssue
Page[int](items=("a",))  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
