create table items (
    item_id integer primary key,
    sku text not null unique,
    name text not null,
    category text not null,
    description text not null,
    price_cents integer not null check (price_cents >= 0),
    stock integer not null check (stock >= 0)        -- what nobody has reserved
) strict;

create index items_by_name on items (name, item_id);

-- The words of the items. `prefix` indexes make what a customer has typed so far quick to find.
create virtual table item_words using fts5 (
    name, category, description,
    content = 'items', content_rowid = 'item_id',
    prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);

create table reservations (
    order_id text not null primary key,
    lines text not null,                             -- JSON
    released integer not null check (released in (0, 1))
) strict, without rowid;
