// Who calls: the services of the system, which prove themselves to each other. In clear text, on this
// machine, by a token with the first request of a connection; else by a certificate with a SPIFFE id.
// Only the edge may speak for an end user.

import { timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

import { Problem } from "./problem.js";
import type { Settings } from "./settings.js";

export const EDGE = "edge";
const NAME = /^[a-z][a-z0-9_-]*$/;

/** The service at the other end of a connection; undefined where none has proven itself. */
export type Callers = (request: IncomingMessage) => string | undefined;

export function callersOf(settings: Settings): Callers {
  return settings.tls ? byCertificate(settings.system) : byToken(settings.tokens);
}

function byToken(folder: string): Callers {
  const proven = new WeakMap<Duplex, string>();
  return (request) => {
    const claimed = one(request.headers["borough-service"]);
    const known = proven.get(request.socket);
    if (claimed === undefined || claimed === known) return known;
    proven.delete(request.socket);
    if (!isToken(folder, claimed, one(request.headers["borough-proof"]) ?? "")) {
      throw new Problem(
        "unauthenticated",
        "Borough-Proof does not prove the service that Borough-Service names; " +
          "do both processes use the same data folder?",
      );
    }
    proven.set(request.socket, claimed);
    return claimed;
  };
}

function isToken(folder: string, service: string, proof: string): boolean {
  if (!NAME.test(service)) return false;
  let token: Buffer;
  try {
    token = readFileSync(join(folder, `${service}.token`));
  } catch {
    return false;
  }
  const expected = Buffer.from(token.toString("latin1").trim());
  const given = Buffer.from(proof);
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function byCertificate(system: string): Callers {
  const prefix = `URI:spiffe://${system}/service/`;
  return ({ socket }) => {
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const uris = (socket.getPeerCertificate().subjectaltname ?? "")
      .split(", ")
      .filter((name) => name.startsWith("URI:"));
    const [uri = ""] = uris;
    const service = uri.slice(prefix.length);
    if (uris.length !== 1 || !uri.startsWith(prefix) || !NAME.test(service)) {
      throw new Problem("unauthenticated", `The certificate names no service of ${system}`);
    }
    return service;
  };
}

export interface Principal {
  readonly subject: string;
}

/** For whom the edge speaks; undefined where nobody is signed in. */
export function principalOf(request: IncomingMessage): Principal | undefined {
  const value = one(request.headers["borough-principal"]);
  if (!value) return undefined;
  try {
    const found: unknown = JSON.parse(Buffer.from(value, "base64url").toString("utf8"));
    const { subject } = found as Record<string, unknown>;
    if (typeof subject === "string") return { subject };
  } catch {
    // Said below, like any other that cannot be read.
  }
  throw new Problem("invalid-request", "Borough-Principal cannot be read");
}

function one(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
