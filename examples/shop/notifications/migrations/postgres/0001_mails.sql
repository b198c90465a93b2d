create table mails (
    mail_id text not null primary key,       -- the id of the event that it tells of
    account_id text not null,
    recipient text not null,
    subject text not null,
    text text not null,
    about text not null,
    sent_at timestamptz not null
);

create index mails_by_account on mails (account_id, sent_at, mail_id);
