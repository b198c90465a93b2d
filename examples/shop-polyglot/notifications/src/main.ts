// The notifications service of the shop as one process: says that it is ready in a line of JSON on
// standard output, and ends with status 0 on SIGTERM once what runs has ended.

import { Amqp } from "./amqp.js";
import { Contract } from "./contract.js";
import { Database } from "./database.js";
import { Mailbox } from "./mailbox.js";
import { Notifier, TOPICS } from "./notifier.js";
import { callersOf } from "./callers.js";
import { Listener } from "./listener.js";
import { Push } from "./push.js";
import { readSettings } from "./settings.js";
import type { Hear } from "./source.js";
import { Tracing } from "./trace.js";
import { log } from "./log.js";

const STOP_WITHIN_MS = 10_000;

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const database = new Database(settings.database);
  const contract = new Contract();
  const tracing = new Tracing(settings.otlp, contract.service, contract.version);
  const notifier = new Notifier(database, new Mailbox(settings.mailbox), tracing);
  const hear: Hear = (event, parent) => notifier.hear(event, parent);
  const push = settings.pushSecret ? new Push(settings.pushSecret, hear) : undefined;
  const amqp = settings.amqpUrl ? new Amqp(settings.amqpUrl, settings.amqpPrefix, TOPICS, hear) : undefined;
  const listener = new Listener(settings, callersOf(settings), contract, database, push, tracing);
  await amqp?.open();
  const port = await listener.open();

  let isStopping = false;
  async function stop(): Promise<void> {
    if (isStopping) process.exit(130);
    isStopping = true;
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
    await Promise.all([listener.close(), amqp?.close()]);
    await tracing.close();
    database.close();
    process.exit(0);
  }
  process.on("SIGTERM", () => void stop());
  process.on("SIGINT", () => void stop());
  process.stdout.write(JSON.stringify({ ready: port, pid: process.pid }) + "\n");
}

main().catch((error: unknown) => {
  log("cannot start", { error: error instanceof Error ? error.message : String(error) });
  process.exit(2);
});
