// W3C Trace Context: the trace of a request or an event goes on; where there is none, one begins.

import { randomBytes } from "node:crypto";

export interface Trace {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: string;
}

const SHAPE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** A span of our own below the one that `traceparent` names, or in a new trace. */
export function continued(traceparent: string | undefined): Trace {
  const spanId = randomBytes(8).toString("hex");
  const found = traceparent === undefined ? null : SHAPE.exec(traceparent);
  const [, version, traceId = "", parent = "", flags = "", rest] = found ?? [];
  const counts =
    version !== undefined && version !== "ff" && !(version === "00" && rest) &&
    !/^0+$/.test(traceId) && !/^0+$/.test(parent);
  if (counts) return { traceId, spanId, flags };
  return { traceId: randomBytes(16).toString("hex"), spanId, flags: "00" };
}
