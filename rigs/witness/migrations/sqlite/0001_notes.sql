create table notes (
    writer text not null,
    number integer not null,
    primary key (writer, number)
) strict, without rowid;

-- No key forbids that something is heard twice: that it is not is what is tried.
create table heard (
    place integer primary key,
    name text not null,
    key text not null,
    number integer not null
) strict;
