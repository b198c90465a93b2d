// The listener: the contract over REST for the services of the system, health for whoever runs this
// process, what it says of itself to the edge, and pushes of events.

import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

import { SpanKind, type Attributes } from "@opentelemetry/api";

import { EDGE, principalOf, type Callers } from "./callers.js";
import { readWanted, type Contract } from "./contract.js";
import type { Database } from "./database.js";
import { log } from "./log.js";
import { Problem } from "./problem.js";
import type { Push } from "./push.js";
import type { Settings } from "./settings.js";
import { parentOf, type Span, type Trace, type Tracing } from "./trace.js";

const MAILS = "/notifications/mails";
const EVENTS = "/events";
const LONGEST_BODY = 1024 * 1024 + 4096;
/** Longer than Borough keeps an idle connection (55 s), so that no request meets one that closes. */
const KEEP_ALIVE_MS = 75_000;
const JSON_TYPE = { "content-type": "application/json" };

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

export class Listener {
  readonly #server: Server;
  readonly #process = randomBytes(8).toString("hex");
  #isReady = false;

  constructor(
    private readonly settings: Settings,
    private readonly callers: Callers,
    private readonly contract: Contract,
    private readonly database: Database,
    private readonly push: Push | undefined,
    private readonly tracing: Tracing,
  ) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#serve(request, response);
    };
    const { tls } = settings;
    // Without a certificate only pushes are taken, and health is told: see `callers.ts`.
    this.#server = tls
      ? createTlsServer(
          { ca: tls.ca, cert: tls.certificate, key: tls.key, requestCert: true, rejectUnauthorized: false },
          answer,
        )
      : createServer(answer);
    this.#server.keepAliveTimeout = KEEP_ALIVE_MS;
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.settings.port, this.settings.host, resolve);
    });
    this.#isReady = true;
    return (this.#server.address() as AddressInfo).port;
  }

  /** Take nothing new; what runs ends. */
  async close(): Promise<void> {
    this.#isReady = false;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const span = this.#begun(request);
    const { trace } = span;
    let answer: Answer;
    let problem: Problem | undefined;
    try {
      answer = await this.#answer(request, trace);
    } catch (error) {
      problem = error instanceof Problem ? error : failed(error, trace);
      answer = { status: problem.status, headers: problem.headers, body: problem.document(trace) };
    }
    if (isWorthTelling(request)) ended(span, answer.status, problem);
    const body = Buffer.from(answer.body ?? "");
    response.writeHead(answer.status, {
      ...answer.headers,
      ...(answer.status !== 204 && { "content-length": String(body.length) }),
      ...(!this.#isReady && { connection: "close" }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  #begun(request: IncomingMessage): Span {
    const path = pathOf(request);
    const call: Attributes = { "http.request.method": request.method ?? "GET", "http.route": path };
    const parent = parentOf(header(request, "traceparent"));
    if (path !== MAILS) return this.tracing.begin(`${request.method} ${path}`, SpanKind.SERVER, parent, call);
    const service = this.contract.wireName;
    const facts = { ...call, "rpc.system": "borough", "rpc.service": service, "rpc.method": "mails" };
    return this.tracing.begin(`${service}/mails`, SpanKind.SERVER, parent, facts);
  }

  async #answer(request: IncomingMessage, trace: Trace): Promise<Answer> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://here");
    switch (pathname) {
      case EVENTS:
        if (this.push === undefined) break;
        only(request, pathname, "POST");
        await this.push.answer({ headers: flat(request), body: await bodyOf(request) }, trace);
        return { status: 204 };
      case "/livez":
        return told({ status: "live" });
      case "/readyz":
        return this.#readiness();
    }
    const caller = this.callers(request);
    switch (pathname) {
      case "/borough/hello":
        return told(this.#hello());
      case `/borough/contracts/${this.contract.wireName}`:
        return { status: 200, headers: JSON_TYPE, body: this.contract.text };
      case MAILS:
        only(request, pathname, "GET");
        return this.#mails(request, caller, searchParams);
    }
    throw new Problem("no-such-route", `There is nothing at ${pathname}`);
  }

  #mails(request: IncomingMessage, caller: string | undefined, query: URLSearchParams): Answer {
    const name = `${this.contract.wireName}.mails`;
    if (caller !== undefined && caller !== EDGE) {
      throw new Problem(
        "forbidden",
        `${caller} does not declare ${this.contract.wireName}: add an attribute annotated with Notifications`,
      );
    }
    const principal = caller === EDGE ? principalOf(request) : undefined;
    if (principal === undefined) {
      throw new Problem(
        "unauthenticated",
        `${name} needs a signed-in user: send 'Authorization: Bearer TOKEN'`,
      );
    }
    const { after, limit } = readWanted(query);
    refuseLate(request, name);
    const found = this.database.mailsOf(principal.subject, after, limit + 1);
    const items = found.slice(0, limit);
    const next = found.length > limit ? (items.at(-1)?.mail_id ?? null) : null;
    return { status: 200, headers: JSON_TYPE, body: JSON.stringify({ items, next }) };
  }

  #readiness(): Answer {
    const state = this.#isReady ? "ready" : "stopping";
    return told({ status: state, services: { [this.contract.service]: state } }, this.#isReady ? 200 : 503);
  }

  #hello(): unknown {
    const { wireName, version, fingerprint, service } = this.contract;
    return {
      process: this.#process,
      system: this.settings.system,
      services: { [service]: version },
      contracts: { [wireName]: { version, fingerprint } },
    };
  }
}

/** Of this request a span is sent; who looks whether all is well is no news. */
function isWorthTelling(request: IncomingMessage): boolean {
  return [EVENTS, MAILS].includes(pathOf(request));
}

function ended(span: Span, status: number, problem: Problem | undefined): void {
  span.note({ "http.response.status_code": status });
  if (problem === undefined) span.end();
  else if (status < 500) span.end({ kind: problem.code });
  else span.end({ kind: problem.code, message: problem.detail });
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

function told(document: unknown, status = 200): Answer {
  const headers = { ...JSON_TYPE, "cache-control": "no-store" };
  return { status, headers, body: JSON.stringify(document) };
}

function only(request: IncomingMessage, path: string, method: string): void {
  const asked = request.method === "HEAD" ? "GET" : request.method;
  if (asked === method) return;
  const detail = `${path} does not take ${request.method}`;
  throw new Problem("method-not-allowed", detail, [], { allow: method === "GET" ? "GET, HEAD" : method });
}

/** The time that is left for the call comes with it; without any it is not begun. */
function refuseLate(request: IncomingMessage, name: string): void {
  const left = header(request, "borough-timeout-ms");
  if (left === undefined) return;
  if (!/^[0-9]{1,9}$/.test(left)) {
    throw new Problem("invalid-request", "Borough-Timeout-Ms is not a whole number of milliseconds");
  }
  if (Number(left) === 0) {
    throw new Problem("deadline-exceeded", `The deadline of ${name} passed before it started`);
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > LONGEST_BODY) throw new Problem("too-large", `An event has at most ${LONGEST_BODY} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function failed(error: unknown, trace: Trace): Problem {
  log("a request failed", { error: String(error), trace_id: trace.traceId });
  return new Problem("service-failure", "The service failed");
}

function header(request: IncomingMessage, name: string): string | undefined {
  return flat(request)[name];
}

function flat(request: IncomingMessage): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) found[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return found;
}
