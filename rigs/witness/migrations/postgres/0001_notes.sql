create table notes (
    writer text not null,
    number bigint not null,
    primary key (writer, number)
);

-- No key forbids that something is heard twice: that it is not is what is tried.
create table heard (
    place bigserial primary key,
    name text not null,
    key text not null,
    number bigint not null
);
