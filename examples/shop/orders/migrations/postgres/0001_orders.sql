create table baskets (
    account_id text not null,
    sku text not null,
    name text not null,
    quantity integer not null check (quantity > 0),
    price_cents integer not null,
    primary key (account_id, sku)
);

create table orders (
    order_id text not null primary key,
    account_id text not null,
    buyer jsonb not null,                    -- name and address as they were
    state text not null,
    reason text not null default '',         -- why it ended without a sale
    missing_sku text,                        -- what was sold out
    lines jsonb not null,
    total_cents integer not null,
    placed_at timestamptz not null,
    changed_at timestamptz not null
);

create index orders_by_account on orders (account_id, placed_at, order_id);

-- What the sweep looks at: orders on their way.
create index orders_unfinished on orders (changed_at)
    where state not in ('paid', 'declined', 'cancelled');
