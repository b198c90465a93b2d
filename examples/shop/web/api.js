// Talks to the shop's edge. Whatever goes wrong becomes a Problem (RFC 9457).

export class Problem extends Error {
  constructor(document) {
    super((document.title ?? "Something went wrong").replace(/\.$/, ""));
    Object.assign(this, { status: 0, code: "", errors: [] }, document);
  }

  /** What to tell a person: the title, and which value did not fit. */
  get sentence() {
    const places = this.errors.map((error) => `${error.pointer ?? error.parameter}: ${error.detail}`);
    return [this.message, ...places].join(". ") + ".";
  }

  /** Whether nobody knows if the request was carried out; the same one may then be sent again. */
  get open() {
    return this.status === 0 || this.status >= 500 || this.code === "key-in-use";
  }

  is(name) {
    return this.code.split(".").pop() === name;
  }
}

const SESSION = "shop.session";

export const session = {
  get current() {
    return JSON.parse(sessionStorage.getItem(SESSION) ?? "null");
  },
  begin(found) {
    sessionStorage.setItem(SESSION, JSON.stringify(found));
  },
  end() {
    sessionStorage.removeItem(SESSION);
  },
};

export async function call(method, path, { body, key, signal } = {}) {
  const response = await send(method, path, { body, key, signal });
  return response.status === 204 ? null : response.json();
}

/** The items of a stream, one by one: NDJSON lines are `item`, `problem` or `end`. */
export async function* stream(path) {
  const response = await send("GET", path, {});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Problem({ title: "The connection was lost" });
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter(Boolean).map((text) => JSON.parse(text))) {
      if ("item" in line) yield line.item;
      else if ("problem" in line) throw new Problem(line.problem);
      else return;
    }
  }
}

async function send(method, path, { body, key, signal }) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (session.current) headers.Authorization = `Bearer ${session.current.token}`;
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The shop cannot be reached" });
  }
  if (response.ok) return response;
  throw new Problem(await response.json().catch(() => ({ status: response.status })));
}

/** A fresh idempotency key; also where the page was not loaded over TLS. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
