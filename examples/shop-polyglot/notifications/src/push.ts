// Events that come as signed HTTP requests (Standard Webhooks), one each, in structured CloudEvents.

import { Webhook, WebhookVerificationError } from "standardwebhooks";

import { MEDIA_TYPE, readEvent, type CloudEvent } from "./cloudevent.js";
import { log } from "./log.js";
import { Problem } from "./problem.js";
import type { Hear } from "./source.js";
import { parentOf, type Trace } from "./trace.js";

export interface Pushed {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

/** Answers a push: once `answer` has returned, the sender may forget the event. */
export class Push {
  readonly #webhooks: readonly Webhook[];

  /** `secret` may be two, with a space between them, while one is replaced. */
  constructor(secret: string, private readonly hear: Hear) {
    this.#webhooks = secret.split(/\s+/).filter(Boolean).map((each) => new Webhook(each));
  }

  /** `trace` is that of the request. */
  async answer({ headers, body }: Pushed, trace: Trace): Promise<void> {
    const text = body.toString("utf8");
    this.#verify(text, headers);
    if (!(headers["content-type"] ?? "").startsWith(MEDIA_TYPE)) {
      throw new Problem("unsupported-media-type", `Events come as ${MEDIA_TYPE}`);
    }
    let event: CloudEvent;
    try {
      event = readEvent(text);
    } catch (error) {
      throw new Problem("invalid-request", `No CloudEvent: ${String(error)}`);
    }
    await this.hear(event, headers["traceparent"] ? trace : parentOf(event.traceparent));
  }

  /** The signature fits, and its time is within five minutes of ours. */
  #verify(body: string, headers: Record<string, string>): void {
    for (const webhook of this.#webhooks) {
      try {
        webhook.verify(body, headers, { jsonParse: false });
        return;
      } catch (error) {
        if (!(error instanceof WebhookVerificationError)) throw error;
      }
    }
    log("a push was not signed by whom we know", { id: headers["webhook-id"] });
    throw new Problem("unauthenticated", "The signature does not count, or is too old");
  }
}
