// --- what every client of Borough shares; it needs `fetch` and nothing else ---------------------------

/** How a client calls. */
export interface ClientSettings {
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** The bearer token of whoever is signed in. */
  readonly token?: string | (() => string | undefined | Promise<string | undefined>);
  /** Further headers of each request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long a call may take, in milliseconds; 10,000 unless it is said here or with the call. */
  readonly timeoutMs?: number;
  /** The W3C trace context that calls belong to. */
  readonly traceparent?: () => string | undefined;
}

/** What one call may say besides its arguments. */
export interface CallOptions {
  /** How long it may take, in milliseconds. Of a stream: until its first item. */
  readonly timeoutMs?: number;
  /** Gives up when it is aborted; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** The W3C trace context that the call belongs to. */
  readonly traceparent?: string;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** For an operation that takes a key: a repeat with the same key gets the answer of the first run. */
export interface KeyedCallOptions extends CallOptions {
  readonly idempotencyKey?: string;
}

/** For a stream. */
export interface StreamOptions extends CallOptions {
  /** How long the next item may take to come, in milliseconds; as long as it takes unless it is said. */
  readonly idleMs?: number;
}

/** An answer with HTTP details. */
export interface Reply<T> {
  readonly value: T;
  readonly headers: Headers;
  readonly etag: string | undefined;
}

/** A problem document (RFC 9457). `code` is stable, texts are for people. */
export interface ProblemDocument {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly trace_id?: string;
  readonly retryable?: boolean;
  readonly errors?: readonly { readonly detail?: string; readonly pointer?: string; readonly parameter?: string }[];
}

/** A call gave no answer. `retryable`: the handler surely did not run, so the same call may be sent again. */
export class CallError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryable: boolean;
  readonly retryAfterS: number | undefined;
  readonly document: ProblemDocument;

  constructor(document: ProblemDocument, retryAfterS?: number, options?: ErrorOptions) {
    super(document.detail || document.title, options);
    this.name = new.target.name;
    this.status = document.status;
    this.code = document.code;
    this.retryable = document.retryable ?? false;
    this.retryAfterS = retryAfterS;
    this.document = document;
  }
}

/** Time ran out. The handler may have run, in part or whole. */
export class DeadlineExceeded extends CallError {}

/** No answer came: the service was not reached, or the connection broke. The handler may have run. */
export class Unreachable extends CallError {}

/** A problem that the contract declares, with its own fields. */
export class Problem<Fields> extends CallError {
  get fields(): Fields {
    return this.document as unknown as Fields;
  }
}

type ProblemClass = new (document: ProblemDocument, retryAfterS?: number) => CallError;

/** One request, before it is sent. */
interface Outgoing {
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  readonly query?: readonly (readonly [string, unknown])[];
  readonly headers?: readonly (readonly [string, unknown])[];
  readonly cookies?: readonly (readonly [string, unknown])[];
  readonly json?: unknown;
  readonly upload?: RequestInit["body"];
  readonly problems?: Readonly<Record<string, ProblemClass>>;
  readonly options: (KeyedCallOptions & StreamOptions) | undefined;
  readonly timeoutMs?: number;
}

function quoted(key: string): string {
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw new TypeError("an idempotency key has 1 to 255 printable ASCII characters");
  }
  return `"${key.replace(/["\\]/g, "\\$&")}"`;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Aborts a request when its time is over, or when the caller has had enough. */
class Patience {
  readonly controller = new AbortController();
  readonly #operation: string;
  readonly #given: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(operation: string, given: AbortSignal | undefined) {
    this.#operation = operation;
    this.#given = given;
    if (given?.aborted) this.#giveUp();
    else given?.addEventListener("abort", this.#giveUp, { once: true });
  }

  readonly #giveUp = (): void => this.controller.abort(this.#given?.reason);

  /** Wait so long from now, and no longer than that. */
  wait(forMs: number | undefined): void {
    clearTimeout(this.#timer);
    if (forMs === undefined) return;
    this.#timer = setTimeout(() => {
      const detail = `${this.#operation} took longer than ${forMs} ms`;
      this.controller.abort(new DeadlineExceeded(made("deadline-exceeded", 504, detail)));
    }, Math.min(forMs, 2 ** 31 - 1)); // a longer time would be over at once
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#given?.removeEventListener("abort", this.#giveUp);
  }

  /** What a failed exchange means. */
  meaning(error: unknown): unknown {
    if (this.controller.signal.aborted) return this.controller.signal.reason;
    if (error instanceof CallError) return error;
    const detail = `${this.#operation} got no answer: ${error instanceof Error ? error.message : String(error)}`;
    return new Unreachable(made("unreachable", 503, detail), undefined, { cause: error });
  }
}

function made(code: string, status: number, detail: string): ProblemDocument {
  return { code, status, title: detail, detail };
}

/** Sends requests to one address. */
class Wire {
  readonly #base: string;
  readonly #settings: ClientSettings;

  constructor(base: string | URL, settings: ClientSettings) {
    this.#base = String(base).replace(/\/+$/, "");
    this.#settings = settings;
  }

  /**
   * A value in a path. Throws `TypeError` for what none can carry. `beside`: what other paths have there; with
   * its first character encoded a value that reads like it calls no other operation.
   */
  static segment(name: string, value: unknown, beside: readonly string[] = []): string {
    const text = String(value);
    if (text === "" || text === "." || text === "..") {
      throw new TypeError(`the path parameter ${name} cannot be ${JSON.stringify(text)}`);
    }
    const segment = encodeURIComponent(text);
    if (!beside.includes(segment)) return segment;
    return `%${segment.charCodeAt(0).toString(16).toUpperCase()}${segment.slice(1)}`;
  }

  /** A call whose answer is JSON, or nothing. */
  async call<T>(outgoing: Outgoing): Promise<T> {
    return (await this.reply<T>(outgoing)).value;
  }

  async reply<T>(outgoing: Outgoing): Promise<Reply<T>> {
    const patience = new Patience(outgoing.operation, outgoing.options?.signal);
    try {
      const response = await this.#send(outgoing, patience);
      const text = await response.text();
      const etag = response.headers.get("etag")?.replace(/^(?:W\/)?"(.*)"$/, "$1");
      return { value: (text ? JSON.parse(text) : undefined) as T, headers: response.headers, etag };
    } catch (error) {
      throw patience.meaning(error);
    } finally {
      patience.end();
    }
  }

  /** A stream of items. Whoever leaves it early ends it at the service, too. */
  async *items<T>(outgoing: Outgoing): AsyncGenerator<T, void, undefined> {
    const patience = new Patience(outgoing.operation, outgoing.options?.signal);
    try {
      const response = await this.#send(outgoing, patience);
      for await (const text of lines(response)) {
        const line = JSON.parse(text) as { item?: T; problem?: ProblemDocument; end?: boolean };
        if (line.end) return;
        if (line.problem) throw failure(outgoing, line.problem, undefined);
        if (line.item === undefined) continue;
        patience.wait(undefined);
        yield line.item;
        patience.wait(outgoing.options?.idleMs);
      }
      throw new CallError(made("service-failure", 500, `the stream of ${outgoing.operation} broke off before its end`));
    } catch (error) {
      throw patience.meaning(error);
    } finally {
      patience.end();
      patience.controller.abort();
    }
  }

  async #send(outgoing: Outgoing, patience: Patience): Promise<Response> {
    const { options, method } = outgoing;
    const timeoutMs = options?.timeoutMs ?? outgoing.timeoutMs ?? this.#settings.timeoutMs ?? 10_000;
    patience.wait(timeoutMs);
    const headers = await this.#headers(outgoing, timeoutMs);
    const query = new URLSearchParams();
    for (const [name, value] of outgoing.query ?? []) {
      for (const each of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (isGiven(each)) query.append(name, String(each));
      }
    }
    const target = this.#base + outgoing.path + (query.size ? `?${query}` : "");
    const body = outgoing.upload ?? (outgoing.json === undefined ? null : JSON.stringify(outgoing.json));
    const ask = this.#settings.fetch ?? fetch;
    const response = await ask(target, { method, headers, body, signal: patience.controller.signal });
    if (!response.ok) throw await refusal(outgoing, response);
    return response;
  }

  async #headers(outgoing: Outgoing, timeoutMs: number): Promise<Headers> {
    const { options } = outgoing;
    const found = new Headers({ ...this.#settings.headers, ...options?.headers });
    found.set("borough-timeout-ms", String(Math.max(1, Math.min(999_999_999, Math.floor(timeoutMs)))));
    const token = this.#settings.token;
    const bearer = typeof token === "function" ? await token() : token;
    if (bearer !== undefined) found.set("authorization", `Bearer ${bearer}`);
    const trace = options?.traceparent ?? this.#settings.traceparent?.();
    if (trace !== undefined) found.set("traceparent", trace);
    if (options?.idempotencyKey !== undefined) found.set("idempotency-key", quoted(options.idempotencyKey));
    if (outgoing.json !== undefined) found.set("content-type", "application/json");
    if (outgoing.upload !== undefined) found.set("content-type", "application/octet-stream");
    for (const [name, value] of outgoing.headers ?? []) {
      if (isGiven(value)) found.set(name, String(value));
    }
    const cookies = (outgoing.cookies ?? []).filter(([, value]) => isGiven(value));
    if (cookies.length) {
      found.set("cookie", cookies.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("; "));
    }
    return found;
  }
}

async function refusal(outgoing: Outgoing, response: Response): Promise<CallError> {
  const text = await response.text();
  const after = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  try {
    const document = JSON.parse(text) as ProblemDocument;
    if (typeof document.code === "string") {
      return failure(outgoing, document, Number.isNaN(after) ? undefined : after);
    }
  } catch {
    // Somebody on the way has answered in words of its own.
  }
  const detail = `${outgoing.operation} answered ${response.status} without a problem document`;
  return new CallError(made("service-failure", response.status, detail));
}

function failure(outgoing: Outgoing, document: ProblemDocument, retryAfterS: number | undefined): CallError {
  const kind = outgoing.problems?.[document.code];
  if (kind !== undefined) return new kind(document, retryAfterS);
  if (document.code === "deadline-exceeded") return new DeadlineExceeded(document, retryAfterS);
  return new CallError(document, retryAfterS);
}

async function* lines(response: Response): AsyncGenerator<string, void, undefined> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((part) => part !== "");
  }
}
