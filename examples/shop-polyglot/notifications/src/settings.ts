// What the environment says. A secret is given as it is: whoever starts this process keeps it.

import { readFileSync } from "node:fs";
import { join } from "node:path";

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
  const port = Number(environment["PORT"] ?? "8090");
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error("PORT is no port");
  }
  const data = must("BOROUGH_SYSTEM_DATA");
  const ca = environment["BOROUGH_TLS_CA"];
  const certificate = ca && must("BOROUGH_TLS_CERTIFICATE");
  return {
    host: environment["HOST"] ?? "127.0.0.1",
    port,
    database: environment["NOTIFICATIONS_DATABASE"] ?? join(data, "notifications.db"),
    mailbox: environment["NOTIFICATIONS_MAILBOX"] ?? join(data, "mailbox"),
    system: environment["BOROUGH_SYSTEM"] ?? "shop",
    tokens: environment["BOROUGH_TOKENS"] ?? join(data, "tokens"),
    pushSecret: environment["SHOP_PUSH_SECRET"],
    amqpUrl: referred(environment["NOTIFICATIONS_AMQP_URL"]),
    amqpPrefix: environment["NOTIFICATIONS_AMQP_PREFIX"] ?? "borough",
    otlp: environment["OTEL_EXPORTER_OTLP_ENDPOINT"] || undefined,
    tls: ca && certificate
      ? {
          ca: readFileSync(ca),
          certificate: readFileSync(certificate),
          key: readFileSync(environment["BOROUGH_TLS_KEY"] ?? certificate),
        }
      : undefined,
  };
}
