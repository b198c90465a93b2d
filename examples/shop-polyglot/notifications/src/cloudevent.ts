// Events as CloudEvents 1.0 in structured JSON. Attributes that are not known are left alone.

export interface CloudEvent {
  readonly specversion: "1.0";
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly traceparent?: string;
  readonly partitionkey?: string;
  readonly data: unknown;
}

export const MEDIA_TYPE = "application/cloudevents+json";

/** Raises `SyntaxError` or `TypeError` where it is no CloudEvent. */
export function readEvent(body: string): CloudEvent {
  const found: unknown = JSON.parse(body);
  if (typeof found !== "object" || found === null) throw new TypeError("it is no object");
  const event = found as Record<string, unknown>;
  if (event["specversion"] !== "1.0") throw new TypeError("specversion is not 1.0");
  for (const name of ["id", "source", "type"]) {
    if (typeof event[name] !== "string" || event[name] === "") throw new TypeError(`it has no ${name}`);
  }
  return event as unknown as CloudEvent;
}
