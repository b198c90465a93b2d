// What the mails say: from an event to a letter. Pure.

export interface Letter {
  readonly accountId: string;
  readonly recipient: string;
  readonly subject: string;
  readonly text: string;
  readonly about: string;
}

interface Buyer {
  readonly account_id: string;
  readonly name: string;
  readonly email: string;
}

interface Line {
  readonly name: string;
  readonly quantity: number;
  readonly price_cents: number;
}

export interface AccountOpened {
  readonly account_id: string;
  readonly email: string;
  readonly name: string;
}

export interface OrderPaid {
  readonly order_id: string;
  readonly buyer: Buyer;
  readonly lines: readonly Line[];
  readonly total_cents: number;
}

export interface OrderCancelled {
  readonly order_id: string;
  readonly buyer: Buyer;
  readonly state: string;
  readonly reason: string;
}

const FAREWELL = "Your shop";

export function welcome(event: AccountOpened): Letter {
  return {
    accountId: event.account_id,
    recipient: event.email,
    subject: "Welcome to the shop",
    text: text(event.name, "your account is open. Have a look around!"),
    about: event.account_id,
  };
}

export function receipt(event: OrderPaid): Letter {
  const lines = event.lines.map(row).join("\n");
  const total = left("Total", 30) + right(euros(event.total_cents), 11);
  return {
    accountId: event.buyer.account_id,
    recipient: event.buyer.email,
    subject: `Your order ${event.order_id.slice(0, 8)} is paid`,
    text: text(event.buyer.name, `thank you for your order:\n\n${lines}\n\n${total}`),
    about: event.order_id,
  };
}

export function regret(event: OrderCancelled): Letter {
  const number = event.order_id.slice(0, 8);
  const isDeclined = event.state === "declined";
  const what = isDeclined
    ? "your payment did not go through. Nothing was charged and nothing will be sent."
    : "your order was cancelled. We keep no money for it.";
  return {
    accountId: event.buyer.account_id,
    recipient: event.buyer.email,
    subject: isDeclined
      ? `The payment of your order ${number} did not go through`
      : `Your order ${number} was cancelled`,
    text: text(event.buyer.name, what + (event.reason ? `\n\nReason: ${event.reason}` : "")),
    about: event.order_id,
  };
}

/** An amount as people write it. */
function euros(cents: number): string {
  const whole = Math.trunc(cents / 100).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  return `${whole}.${right(String(cents % 100), 2, "0")} EUR`;
}

function row(line: Line): string {
  const price = euros(line.quantity * line.price_cents);
  return `${right(String(line.quantity), 3)} x ${left(line.name, 24)}${right(price, 11)}`;
}

// By characters, not by the units in which JavaScript keeps them.
function left(value: string, width: number): string {
  return value + " ".repeat(Math.max(0, width - [...value].length));
}

function right(value: string, width: number, fill = " "): string {
  return fill.repeat(Math.max(0, width - [...value].length)) + value;
}

function text(name: string, paragraph: string): string {
  return [`Dear ${name},`, paragraph, FAREWELL].join("\n\n") + "\n";
}
