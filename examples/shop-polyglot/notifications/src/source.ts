// Where events come from. A source hands each to `Hear` and forgets it only when that has ended well.
// Push is one; RabbitMQ or Kafka would be others, behind the same two types.

import type { CloudEvent } from "./cloudevent.js";
import type { Trace } from "./trace.js";

/** Does what an event asks for, surely, before it returns; told twice, it does it once. */
export type Hear = (event: CloudEvent, trace: Trace) => Promise<void>;
