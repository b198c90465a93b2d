// The contract as it is published: the descriptor that `borough contracts export` has written, and its
// fingerprint, by which others see whether they know it. And how its one operation is asked for.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { Problem } from "./problem.js";

const WORDS = new Set(["doc", "title", "examples", "example"]);

export class Contract {
  readonly text: Buffer;
  readonly wireName: string;
  readonly version: string;
  readonly service: string;
  readonly fingerprint: string;

  constructor() {
    this.text = readFileSync(new URL("../contract.json", import.meta.url));
    const descriptor = JSON.parse(this.text.toString("utf8")) as Record<string, string>;
    this.wireName = descriptor["wire_name"] ?? "";
    this.version = descriptor["version"] ?? "";
    this.service = descriptor["service"] ?? "";
    const canonical = JSON.stringify(wordless(descriptor));
    this.fingerprint = createHash("sha256").update(canonical).digest("hex");
  }
}

/** The same facts without words; the order of keys, which is canonical, stays. */
function wordless(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(wordless);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !WORDS.has(name))
      .map(([name, part]) => [name, name === "default" ? part : wordless(part)]),
  );
}

export interface Wanted {
  readonly after: string | null;
  readonly limit: number;
}

/** What `GET /notifications/mails` asks for, as strictly as the public is read everywhere. */
export function readWanted(query: URLSearchParams): Wanted {
  for (const name of query.keys()) {
    if (name !== "after" && name !== "limit") {
      throw new Problem("invalid-request", `Unknown query parameter '${name}'`, [
        { detail: "unknown query parameter", parameter: name },
      ]);
    }
    if (query.getAll(name).length > 1) {
      throw new Problem("invalid-request", `The query parameter '${name}' was given twice`);
    }
  }
  return { after: query.get("after"), limit: readLimit(query.get("limit")) };
}

function readLimit(given: string | null): number {
  if (given === null) return 20;
  if (!/^-?(0|[1-9][0-9]*)$/.test(given)) throw wrongLimit("Expected `int`, got `str`");
  const limit = Number(given);
  if (limit < 1) throw wrongLimit("Expected `int` >= 1");
  if (limit > 100) throw wrongLimit("Expected `int` <= 100");
  return limit;
}

function wrongLimit(detail: string): Problem {
  return new Problem("invalid-request", `The query parameter 'limit' is wrong: ${detail}`, [
    { detail, parameter: "limit" },
  ]);
}
