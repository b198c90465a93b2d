// Events from RabbitMQ, as Borough publishes them there: an exchange per topic, routed by the event's type,
// structured CloudEvents. The queues are our own: quorum queues that hold what we have not acknowledged,
// and take up from now on what comes after they were first bound.

import { setTimeout as sleep } from "node:timers/promises";

import { connect, type Channel, type ChannelModel, type ConsumeMessage } from "amqplib";

import { readEvent, type CloudEvent } from "./cloudevent.js";
import { log } from "./log.js";
import { Problem } from "./problem.js";
import type { Hear } from "./source.js";
import { parentOf } from "./trace.js";

const PREFETCH = 64;
const DELIVERY_LIMIT = 100;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

export class Amqp {
  readonly #stopping = new AbortController();
  /** What is under way, and the last of each key: the next of it waits for that. */
  readonly #work = new Set<Promise<void>>();
  readonly #last = new Map<string, Promise<void>>();
  #running: Promise<void> = Promise.resolve();
  #connection: ChannelModel | undefined;

  /** `topics` has the types that are heard of each; `prefix` is `events.rabbitmq.prefix`. */
  constructor(
    private readonly url: string,
    private readonly prefix: string,
    private readonly topics: ReadonlyMap<string, readonly string[]>,
    private readonly hear: Hear,
  ) {}

  /** Returns once the queues are bound for the first time; connects anew for as long as it runs. */
  open(): Promise<void> {
    return new Promise((opened) => {
      this.#running = this.#run(opened);
    });
  }

  /** Take no more; what was taken is finished and acknowledged. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
    await this.#connection?.close().catch(() => undefined);
    await this.#running;
  }

  async #run(opened: () => void): Promise<void> {
    let waitMs = FIRST_WAIT_MS;
    while (!this.#stopping.signal.aborted) {
      try {
        const connection = (this.#connection = await connect(this.url));
        const lost = new Promise<void>((resolve) => connection.once("close", () => resolve()));
        connection.on("error", (error) => log("RabbitMQ: the connection broke", { error: String(error) }));
        for (const [topic, types] of this.topics) await this.#subscribe(connection, topic, types);
        opened();
        waitMs = FIRST_WAIT_MS;
        await lost;
      } catch (error) {
        log("RabbitMQ cannot be had; events wait there", { error: String(error) });
        await this.#connection?.close().catch(() => undefined);
      }
      await sleep(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    }
  }

  async #subscribe(connection: ChannelModel, topic: string, types: readonly string[]): Promise<void> {
    const channel = await connection.createChannel();
    const exchange = `${this.prefix}.${topic}`;
    const queue = `${this.prefix}.notifications.typescript.${topic}`;
    const dead = `${this.prefix}.dead`;
    await channel.assertExchange(exchange, "topic", { durable: true });
    await channel.assertExchange(dead, "direct", { durable: true });
    await channel.assertQueue(`${queue}.dead`, { durable: true, arguments: { "x-queue-type": "quorum" } });
    await channel.bindQueue(`${queue}.dead`, dead, queue);
    await channel.assertQueue(queue, {
      durable: true,
      arguments: {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
      },
    });
    for (const type of types) await channel.bindQueue(queue, exchange, type);
    await channel.prefetch(PREFETCH);
    const { consumerTag } = await channel.consume(queue, (message) => {
      // Without a message the queue itself has gone: to begin anew makes it again.
      if (message === null) void connection.close().catch(() => undefined);
      else this.#take(channel, message);
    });
    this.#stopping.signal.addEventListener("abort", () => {
      channel.cancel(consumerTag).catch(() => undefined);
    }, { once: true });
  }

  #take(channel: Channel, message: ConsumeMessage): void {
    const key = message.properties.headers?.["cloudEvents:partitionkey"];
    const before = typeof key === "string" ? this.#last.get(key) : undefined;
    const work = (before ?? Promise.resolve()).then(() => this.#handle(channel, message));
    this.#work.add(work);
    if (typeof key === "string") this.#last.set(key, work);
    void work.finally(() => {
      this.#work.delete(work);
      if (typeof key === "string" && this.#last.get(key) === work) this.#last.delete(key);
    });
  }

  /** Until it has ended well; what can never be read goes to the dead queue. */
  async #handle(channel: Channel, message: ConsumeMessage): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        const event = readable(message);
        await this.hear(event, parentOf(event.traceparent));
        settle(() => channel.ack(message));
        return;
      } catch (error) {
        if (error instanceof Problem && error.code === "invalid-request") {
          log("an event cannot be read, and is dead", { error: error.detail });
          settle(() => channel.nack(message, false, false));
          return;
        }
        log("an event is tried again", { error: String(error) });
        if (this.#stopping.signal.aborted) return; // it is delivered again, to whoever reads next
        await sleep(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      }
    }
  }
}

function readable(message: ConsumeMessage): CloudEvent {
  try {
    return readEvent(message.content.toString("utf8"));
  } catch (error) {
    throw new Problem("invalid-request", `No CloudEvent: ${String(error)}`);
  }
}

/** A receipt of a channel that is lost means nothing any more: its message comes again. */
function settle(receipt: () => void): void {
  try {
    receipt();
  } catch (error) {
    log("RabbitMQ: a receipt came too late", { error: String(error) });
  }
}
