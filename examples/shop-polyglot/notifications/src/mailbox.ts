// How a mail leaves: as a file in a folder in the manner of Maildir, named by its number, so that the
// same mail written twice is one. It is on disk, name and all, before `deliver` returns.

import { mkdirSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";

export interface Mail {
  readonly mail_id: string;
  readonly recipient: string;
  readonly subject: string;
  readonly text: string;
  readonly about: string;
  readonly sent_at: string;
}

const SENDER = "The shop <shop@shop.example>";

export class Mailbox {
  readonly #unfinished: string;
  readonly #new: string;

  constructor(folder: string) {
    this.#unfinished = join(folder, "tmp");
    this.#new = join(folder, "new");
    for (const part of [this.#unfinished, this.#new, join(folder, "cur")]) {
      mkdirSync(part, { recursive: true });
    }
  }

  async deliver(mail: Mail): Promise<void> {
    // An id comes from elsewhere: it must not lead out of the folder.
    const name = `${mail.mail_id.replace(/[^A-Za-z0-9_-]/g, "_")}.eml`;
    const file = await open(join(this.#unfinished, name), "w");
    try {
      await file.writeFile(message(mail));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(join(this.#unfinished, name), join(this.#new, name));
    const folder = await open(this.#new, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

/** A mail in the form of RFC 5322. */
function message(mail: Mail): string {
  const isPlain = /^[\x00-\x7f]*$/.test(mail.text);
  const body = isPlain
    ? mail.text
    : Buffer.from(mail.text, "utf8").toString("base64").replace(/.{76}/g, "$&\n") + "\n";
  return [
    `From: ${SENDER}`,
    `To: ${oneLine(mail.recipient)}`,
    `Subject: ${oneLine(mail.subject)}`,
    `Date: ${new Date(mail.sent_at).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${oneLine(mail.mail_id)}@shop.example>`,
    'Content-Type: text/plain; charset="utf-8"',
    `Content-Transfer-Encoding: ${isPlain ? "7bit" : "base64"}`,
    "MIME-Version: 1.0",
    "",
    body,
  ].join("\n");
}

function oneLine(value: string): string {
  return value.replace(/[\r\n]/g, " ");
}
