// W3C Trace Context, and spans by OpenTelemetry's own SDK: what is done here goes on the trace of its request or event,
// and is sent by OTLP to whoever keeps the system's telemetry. Without an address the trace goes on all the same.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import {
  diag, DiagLogLevel, ROOT_CONTEXT, SpanStatusCode, trace,
  type Attributes, type Span as Recorded, type SpanKind, type Tracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler, AlwaysOnSampler, BatchSpanProcessor, ParentBasedSampler, TracerProvider,
} from "@opentelemetry/sdk-trace";

import { log } from "./log.js";

const EACH_MS = 1_000;
const SENT_WITHIN_MS = 2_000;
const COMPLAIN_EACH_MS = 60_000;
const SHAPE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

export interface Trace {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
}

/** Something that is being done. It is sent once it has ended; what never ends is never sent. */
export class Span {
  constructor(private readonly recorded: Recorded) {}

  get trace(): Trace {
    return this.recorded.spanContext();
  }

  note(attributes: Attributes): void {
    this.recorded.setAttributes(attributes);
  }

  /** `failure` is an error of ours; what the other side did wrong has a kind, and is none. */
  end(failure?: { readonly kind: string; readonly message?: string }): void {
    if (failure !== undefined) {
      this.recorded.setAttribute("error.type", failure.kind);
      const { message } = failure;
      if (message !== undefined) this.recorded.setStatus({ code: SpanStatusCode.ERROR, message });
    }
    this.recorded.end();
  }
}

/** Makes spans. `endpoint` takes OTLP over HTTP, such as the address in `DATA/borough.otlp`. */
export class Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  constructor(endpoint: string | undefined, service: string, version: string) {
    if (endpoint !== undefined) complainSeldom();
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        "service.name": service,
        "service.version": version,
        "service.instance.id": randomBytes(8).toString("hex"),
      }),
      sampler: new ParentBasedSampler({
        root: endpoint === undefined ? new AlwaysOffSampler() : new AlwaysOnSampler(),
      }),
      spanProcessors: endpoint === undefined ? [] : [sending(`${endpoint.replace(/\/$/, "")}/v1/traces`)],
    });
    this.#tracer = this.#provider.getTracer("shop-notifications", version);
  }

  /** Begin something below `parent`, or in a new trace. */
  begin(name: string, kind: SpanKind, parent: Trace | undefined, attributes: Attributes): Span {
    const context =
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
    return new Span(this.#tracer.startSpan(name, { kind, attributes }, context));
  }

  /** Send what there is, while there is time. */
  async close(): Promise<void> {
    await Promise.race([
      this.#provider.shutdown().catch(() => undefined),
      sleep(SENT_WITHIN_MS, undefined, { ref: false }),
    ]);
  }
}

/** Whom `traceparent` names, if it counts. */
export function parentOf(traceparent: string | undefined): Trace | undefined {
  const found = traceparent === undefined ? null : SHAPE.exec(traceparent);
  const [, version, traceId = "", spanId = "", flags = "", rest] = found ?? [];
  const counts =
    version !== undefined && version !== "ff" && !(version === "00" && rest) &&
    !/^0+$/.test(traceId) && !/^0+$/.test(spanId);
  return counts ? { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1 } : undefined;
}

function sending(url: string): BatchSpanProcessor {
  return new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({ url, timeoutMillis: SENT_WITHIN_MS }),
    scheduledDelayMillis: EACH_MS,
  });
}

/** Whoever takes spans may be away for long: that is told, but not each second. */
function complainSeldom(): void {
  let next = 0;
  const error = (message: string): void => {
    if (Date.now() < next) return;
    next = Date.now() + COMPLAIN_EACH_MS;
    log("spans cannot be sent", { error: message.slice(0, 200) });
  };
  const nothing = (): void => undefined;
  diag.setLogger({ error, warn: nothing, info: nothing, debug: nothing, verbose: nothing }, DiagLogLevel.ERROR);
}
