create table tally (
    place text primary key,
    times integer not null,
    total integer not null,
    last integer not null
) strict, without rowid;
