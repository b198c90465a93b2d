// A customer of the shop, by the written clients: prints what it has seen as JSON.
import { AccountsClient, EmailTaken } from "./accounts.js";
import { CallError, DeadlineExceeded, OrdersClient, OrderState, UnknownOrder, Unreachable, type Progress } from "./orders.js";
import { SearchClient } from "./search.js";

const [edge, nowhere] = process.argv.slice(2) as [string, string];
const seen: Record<string, unknown> = {};

const email = "ada.types@shop.example";
const accounts = new AccountsClient(edge);
const given = { email, name: "Ada Lovelace", password: "correct horse" };
seen["account"] = (await accounts.signUp(given)).name;
seen["taken"] = await accounts.signUp(given).catch((error: unknown) => error instanceof EmailTaken && error.code);
const { token } = await accounts.login({ email, password: given.password });

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${trace}-00f067aa0ba902b7-01`;
const orders = new OrdersClient(edge, { token: () => token, timeoutMs: 20_000 });
const found = await new SearchClient(edge).find({ q: "kettle", limit: 1 });
const sku = found.items[0]?.sku ?? "";
seen["basket"] = (await orders.putInBasket({ sku, quantity: 2 })).lines.map((line) => line.quantity);

const unknown = await orders.order({ order_id: "no such?order" }, { traceparent }).catch((error: unknown) => error);
seen["unknown"] = unknown instanceof UnknownOrder && [unknown.status, unknown.document.trace_id === trace];
const wrong = await orders.putInBasket({ sku, quantity: 100 }).catch((error: unknown) => error);
seen["wrong"] = wrong instanceof CallError && [wrong.code, wrong.document.errors?.[0]?.pointer];

const idempotencyKey = 'a "quoted" key';
const card = "4242424242424242";
const order = await orders.checkout({ card }, { idempotencyKey });
const again = await orders.checkout({ card }, { idempotencyKey });
seen["same"] = again.order_id === order.order_id;

const steps: Progress[] = [];
for await (const step of orders.follow({ order_id: order.order_id })) {
  steps.push(step);
  if (step.state === OrderState.PAID) break; // on a slow machine it is `paying` for a while
}
seen["followed"] = steps.at(-1)?.state;
await orders.cancel({ order_id: order.order_id });
const rest: string[] = [];
for await (const step of orders.follow({ order_id: order.order_id }, { idleMs: 15_000 })) rest.push(step.state);
seen["ended"] = rest.at(-1);

const leaving = new AbortController();
const stream = orders.follow({ order_id: order.order_id }, { signal: leaving.signal });
leaving.abort(new Error("enough"));
seen["aborted"] = await stream.next().catch((error: unknown) => error instanceof Error && error.message);
const lost = await new OrdersClient(nowhere).basket().catch((error: unknown) => error);
seen["lost"] = lost instanceof Unreachable;
const silent = new OrdersClient(edge, { fetch: (_, init) => new Promise((_resolve, reject) => {
  init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
}) });
const late = await silent.basket({ timeoutMs: 20 }).catch((error: unknown) => error);
seen["late"] = late instanceof DeadlineExceeded && late.status;
try {
  await orders.order({ order_id: ".." });
} catch (error) {
  seen["dots"] = error instanceof TypeError;
}
console.log(JSON.stringify(seen));
