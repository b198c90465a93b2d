// Where events come from. A source hands each to `Hear`, those of one key in their order, and forgets it only
// when that has ended well. There are two: pushes (`push.ts`), and RabbitMQ (`amqp.ts`).

import type { CloudEvent } from "./cloudevent.js";
import type { Trace } from "./trace.js";

/** Does what an event asks for, surely, before it returns; told twice, it does it once. `parent` is where its trace goes on. */
export type Hear = (event: CloudEvent, parent: Trace | undefined) => Promise<void>;
