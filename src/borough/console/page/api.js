// What the page asks of the server. What cannot be answered is a `Refused` with the server's own sentence.

const PREFIX = "/console/api/";
const PATIENCE_MS = 15000;

let token = null;

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(PREFIX + path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refused(0, "The system does not answer.");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail || problem.title || `The answer was ${response.status}.`);
}

// Who is logged in, and whether anybody has to be.
export async function session() {
  const found = await ask("session");
  token = found.token;
  return found;
}

const sent = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json", ...(token ? { "x-borough-token": token } : {}) },
  body: JSON.stringify(body ?? {}),
});

// A document; `query` holds what stands behind the question mark, without what is not given.
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return ask(text ? `${path}?${text}` : path, signal ? { signal } : {});
}

// Change something. A system that was started anew has another token; it is asked for once.
export async function post(path, body) {
  try {
    return await ask(path, sent(body));
  } catch (error) {
    if (error.status !== 403) throw error;
    const before = token;
    await session();
    if (token === before) throw error;
    return ask(path, sent(body));
  }
}
