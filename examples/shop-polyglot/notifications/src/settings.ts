// What the environment says. A secret is given as it is: whoever starts this process keeps it.

import { readFileSync } from "node:fs";

export interface Tls {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly mailbox: string;
  /** The system's name: its certificates carry it. */
  readonly system: string;
  /** Where the tokens of the system's services lie: `DATA/tokens`. */
  readonly tokens: string;
  /** What signs pushes; without it none are taken. */
  readonly pushSecret: string | undefined;
  /** Where RabbitMQ is; without it nothing is read there. */
  readonly amqpUrl: string | undefined;
  readonly amqpPrefix: string;
  /** Who takes spans, by OTLP over HTTP; without it none are sent. */
  readonly otlp: string | undefined;
  readonly tls: Tls | undefined;
}

/** The value, or what the file holds that `file:PATH` names: a URL with a password lies there. */
function referred(value: string | undefined): string | undefined {
  return value?.startsWith("file:") ? readFileSync(value.slice("file:".length), "utf8").trim() : value;
}

export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const must = (name: string): string => {
    const value = environment[name];
    if (!value) throw new Error(`${name} is not set; see README.md`);
    return value;
  };
  const port = Number(environment["NOTIFICATIONS_PORT"] ?? "8090");
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error("NOTIFICATIONS_PORT is no port");
  }
  const ca = environment["NOTIFICATIONS_TLS_CA"];
  const certificate = ca && must("NOTIFICATIONS_TLS_CERTIFICATE");
  return {
    host: environment["NOTIFICATIONS_HOST"] ?? "127.0.0.1",
    port,
    database: must("NOTIFICATIONS_DATABASE"),
    mailbox: must("NOTIFICATIONS_MAILBOX"),
    system: environment["NOTIFICATIONS_SYSTEM"] ?? "shop",
    tokens: must("NOTIFICATIONS_TOKENS"),
    pushSecret: environment["SHOP_PUSH_SECRET"],
    amqpUrl: referred(environment["NOTIFICATIONS_AMQP_URL"]),
    amqpPrefix: environment["NOTIFICATIONS_AMQP_PREFIX"] ?? "borough",
    otlp: environment["NOTIFICATIONS_OTLP"] || environment["OTEL_EXPORTER_OTLP_ENDPOINT"] || undefined,
    tls: ca && certificate
      ? {
          ca: readFileSync(ca),
          certificate: readFileSync(certificate),
          key: readFileSync(environment["NOTIFICATIONS_TLS_KEY"] ?? certificate),
        }
      : undefined,
  };
}
