create table notes (
    writer text not null,
    number integer not null,
    primary key (writer, number)
) strict, without rowid;
