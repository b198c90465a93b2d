// What is done about an event. The mail goes out first, under the event's id; then inbox and mail are
// noted in one transaction. A crash between the two brings the event again, and the same mail replaces itself.

import type { CloudEvent } from "./cloudevent.js";
import type { Database } from "./database.js";
import { log } from "./log.js";
import type { Mailbox } from "./mailbox.js";
import { Problem } from "./problem.js";
import { receipt, regret, welcome, type Letter } from "./texts.js";
import type { Trace } from "./trace.js";

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

  constructor(private readonly database: Database, private readonly mailbox: Mailbox) {}

  hear(event: CloudEvent, trace: Trace): Promise<void> {
    const running = this.#atWork.get(event.id);
    if (running) return running;
    const work = this.#handle(event, trace).finally(() => this.#atWork.delete(event.id));
    this.#atWork.set(event.id, work);
    return work;
  }

  async #handle(event: CloudEvent, trace: Trace): Promise<void> {
    const handler = HANDLERS.get(event.type);
    if (handler === undefined || this.database.isDone(event.id)) return;
    const letter = written(handler, event);
    const { accountId, ...rest } = letter;
    const mail = { mail_id: event.id, ...rest, sent_at: new Date().toISOString() };
    await this.mailbox.deliver(mail);
    await this.database.finish({ eventId: event.id, handler: handler.name, accountId, mail });
    log("mail sent", { event: event.id, handler: handler.name, trace_id: trace.traceId });
  }
}

function written(handler: Handler, event: CloudEvent): Letter {
  try {
    return handler.write(event.data as never);
  } catch (error) {
    // Whoever publishes has broken the contract: the same event will not be right another time.
    throw new Problem("invalid-request", `${event.type} cannot be read: ${String(error)}`);
  }
}
