// Errors as RFC 9457 problems, in the words that every service of the system uses.

import type { Trace } from "./trace.js";

const TITLES = {
  "invalid-request": [400, "The request does not fit the contract"],
  unauthenticated: [401, "Who is calling has not been proven"],
  forbidden: [403, "The caller may not do this"],
  "no-such-route": [404, "There is nothing at this address"],
  "method-not-allowed": [405, "This address does not take that method"],
  "too-large": [413, "The request is too large"],
  "unsupported-media-type": [415, "The body is of a kind that is not taken here"],
  "service-failure": [500, "The service failed"],
  "deadline-exceeded": [504, "The deadline has passed"],
} as const;

export type Code = keyof typeof TITLES;

/** Where a request does not fit. */
export interface Place {
  readonly detail: string;
  readonly parameter: string;
}

export class Problem extends Error {
  constructor(
    readonly code: Code,
    readonly detail: string,
    readonly errors: readonly Place[] = [],
    readonly fields: Record<string, string> = {},
  ) {
    super(detail);
  }

  get status(): number {
    return TITLES[this.code][0];
  }

  document(trace: Trace | undefined): string {
    return JSON.stringify({
      type: `urn:borough:problem:${this.code}`,
      title: TITLES[this.code][1],
      status: this.status,
      detail: this.detail,
      code: this.code,
      retryable: false,
      ...(trace && { trace_id: trace.traceId }),
      ...(this.errors.length > 0 && { errors: this.errors }),
    });
  }

  get headers(): Record<string, string> {
    return {
      "content-type": "application/problem+json",
      ...(this.status === 401 && { "www-authenticate": "Bearer" }),
      ...this.fields,
    };
  }
}
