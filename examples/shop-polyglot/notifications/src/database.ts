// The service's own database: the mails, and the inbox that tells which events are done. What arrives
// together is committed together, in one transaction with one sync: the row of the inbox and the mail it
// stands for are durable both, or neither is.

import Sqlite from "better-sqlite3";

import type { Mail } from "./mailbox.js";

const TABLES = `
create table if not exists inbox (
    event_id text not null primary key,
    handler text not null,
    done_at text not null
) strict, without rowid;
create table if not exists mails (
    mail_id text not null primary key,       -- the id of the event that it tells of
    account_id text not null,
    recipient text not null,
    subject text not null,
    text text not null,
    about text not null,
    sent_at text not null
) strict, without rowid;
create index if not exists mails_by_account on mails (account_id, sent_at, mail_id);
`;

export interface Done {
  readonly eventId: string;
  readonly handler: string;
  readonly accountId: string;
  readonly mail: Mail;
}

interface Waiting {
  readonly done: Done;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Database {
  readonly #database: Sqlite.Database;
  readonly #isDone: Sqlite.Statement<[string], unknown>;
  readonly #mails: Sqlite.Statement<unknown[], Mail>;
  readonly #commit: (group: readonly Done[]) => void;
  #waiting: Waiting[] = [];

  constructor(path: string) {
    const database = (this.#database = new Sqlite(path));
    database.pragma("journal_mode = WAL");
    database.pragma("synchronous = FULL");
    database.pragma("busy_timeout = 2000");
    database.exec(TABLES);
    this.#isDone = database.prepare<[string]>("select 1 from inbox where event_id = ?");
    this.#mails = database.prepare<unknown[], Mail>(
      "select mail_id, recipient, subject, text, about, sent_at from mails" +
        " where account_id = $account and ($after is null or (sent_at, mail_id) <" +
        " (select sent_at, mail_id from mails where mail_id = $after))" +
        " order by sent_at desc, mail_id desc limit $limit",
    );
    const take = database.prepare("insert into inbox values ($eventId, $handler, $at)");
    const add = database.prepare(
      "insert into mails (mail_id, account_id, recipient, subject, text, about, sent_at) values" +
        " ($mail_id, $accountId, $recipient, $subject, $text, $about, $sent_at)" +
        " on conflict (mail_id) do nothing",
    );
    this.#commit = database.transaction((group: readonly Done[]) => {
      for (const { eventId, handler, accountId, mail } of group) {
        take.run({ eventId, handler, at: mail.sent_at });
        add.run({ ...mail, accountId });
      }
    });
  }

  isDone(eventId: string): boolean {
    return this.#isDone.get(eventId) !== undefined;
  }

  /** Durable once it has ended. */
  finish(done: Done): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ done, resolve, reject }) === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const group = this.#waiting;
    this.#waiting = [];
    try {
      this.#commit(group.map((each) => each.done));
    } catch (error) {
      for (const each of group) each.reject(error);
      return;
    }
    for (const each of group) each.resolve();
  }

  /** A customer's mails, the latest first, those older than `after`. */
  mailsOf(account: string, after: string | null, limit: number): Mail[] {
    return this.#mails.all({ account, after, limit });
  }

  close(): void {
    this.#database.close();
  }
}
