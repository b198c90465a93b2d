create table payments (
    order_id text not null primary key,
    state text not null check (state in ('pending', 'captured', 'failed', 'refunded')),
    cents integer not null check (cents >= 0),
    currency text not null,
    card_end text not null,              -- the last four digits; the number itself is never kept
    reason text not null default '',
    began_at timestamptz not null,
    refund_asked_at timestamptz          -- set before the issuer is asked for a refund
);

create index payments_pending on payments (began_at) where state = 'pending';
create index payments_refunding on payments (refund_asked_at)
    where state = 'captured' and refund_asked_at is not null;

-- The ledger: money in and money out, each at most once per order.
create table ledger (
    order_id text not null references payments (order_id),
    entry text not null check (entry in ('capture', 'refund')),
    cents integer not null,
    currency text not null,
    issuer_id text not null,
    booked_at timestamptz not null,
    primary key (order_id, entry)
);
