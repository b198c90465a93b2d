"""What the notifications service promises."""

from typing import Annotated, Protocol

from borough import USER, Instant, Meta, Page, Struct, contract, get


class Mail(Struct):
    """A mail that has been sent. `about` is the order or account that it speaks of."""

    mail_id: str
    recipient: str
    subject: str
    text: str
    about: str
    sent_at: Instant


@contract("notifications", version="1.0", public=True)
class Notifications(Protocol):
    """Tells customers by mail what has happened."""

    @get("/mails", allow=USER)
    async def mails(
        self, after: str | None = None, limit: Annotated[int, Meta(ge=1, le=100)] = 20
    ) -> Page[Mail]:
        """The mails sent to the signed-in customer, the latest first."""
        ...
