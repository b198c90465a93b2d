-- No key forbids that something is heard twice: that it is not is what is tried.
create table heard (
    place integer primary key,
    writer text not null,
    number integer not null,
    delay_s real not null
) strict;
