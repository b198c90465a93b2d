// What is done about an event. The mail goes out first, under the event's id; then inbox and mail are
// noted in one transaction. A crash between the two brings the event again, and the same mail replaces itself.

import { SpanKind, type Attributes } from "@opentelemetry/api";

import type { CloudEvent } from "./cloudevent.js";
import type { Database } from "./database.js";
import { log } from "./log.js";
import type { Mailbox } from "./mailbox.js";
import { Problem } from "./problem.js";
import { receipt, regret, welcome, type Letter } from "./texts.js";
import type { Span, Trace, Tracing } from "./trace.js";

interface Handler {
  readonly name: string;
  readonly write: (data: never) => Letter;
}

const HANDLERS = new Map<string, Handler>([
  ["accounts.Accounts.AccountOpened", { name: "say_welcome", write: welcome }],
  ["orders.Orders.OrderPaid", { name: "send_receipt", write: receipt }],
  ["orders.Orders.OrderCancelled", { name: "send_regret", write: regret }],
]);

/** By topic, the types of what is heard. */
export const TOPICS = new Map<string, string[]>();
for (const type of HANDLERS.keys()) {
  const topic = type.slice(0, type.lastIndexOf("."));
  TOPICS.set(topic, [...(TOPICS.get(topic) ?? []), type]);
}

export class Notifier {
  /** A sender that has lost patience comes again while the first of the same event is at work. */
  readonly #atWork = new Map<string, Promise<void>>();

  constructor(
    private readonly database: Database,
    private readonly mailbox: Mailbox,
    private readonly tracing: Tracing,
  ) {}

  hear(event: CloudEvent, parent: Trace | undefined): Promise<void> {
    const running = this.#atWork.get(event.id);
    if (running) return running;
    const work = this.#seen(event, parent).finally(() => this.#atWork.delete(event.id));
    this.#atWork.set(event.id, work);
    return work;
  }

  /** What is done about an event is a span in the trace that has published it. */
  async #seen(event: CloudEvent, parent: Trace | undefined): Promise<void> {
    const handler = HANDLERS.get(event.type);
    if (handler === undefined) return;
    const span = this.tracing.begin(`process ${event.type}`, SpanKind.CONSUMER, parent, factsOf(event, handler));
    try {
      await this.#handle(event, handler, span);
      span.end();
    } catch (error) {
      span.end({ kind: error instanceof Error ? error.name : "Error", message: String(error) });
      throw error;
    }
  }

  async #handle(event: CloudEvent, handler: Handler, span: Span): Promise<void> {
    if (this.database.isDone(event.id)) return span.note({ "borough.outcome": "duplicate" });
    const letter = written(handler, event);
    const { accountId, ...rest } = letter;
    const mail = { mail_id: event.id, ...rest, sent_at: new Date().toISOString() };
    await this.mailbox.deliver(mail);
    await this.database.finish({ eventId: event.id, handler: handler.name, accountId, mail });
    log("mail sent", { event: event.id, handler: handler.name, trace_id: span.trace.traceId });
  }
}

/** By OpenTelemetry's conventions; ids of things are there to be searched for. */
function factsOf(event: CloudEvent, handler: Handler): Attributes {
  const ids = Object.entries(event.data ?? {}).filter(
    ([name, value]) => /(^|_)id$/.test(name) && typeof value === "string",
  );
  return {
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": event.type.slice(0, event.type.lastIndexOf(".")),
    "messaging.consumer.group.name": `notifications.${handler.name}`,
    "messaging.message.id": event.id,
    "borough.event.type": event.type,
    ...(event.partitionkey !== undefined && { "borough.event.key": event.partitionkey }),
    ...Object.fromEntries(ids.map(([name, value]) => [`app.${name}`, value as string])),
  };
}

function written(handler: Handler, event: CloudEvent): Letter {
  try {
    return handler.write(event.data as never);
  } catch (error) {
    // Whoever publishes has broken the contract: the same event will not be right another time.
    throw new Problem("invalid-request", `${event.type} cannot be read: ${String(error)}`);
  }
}
