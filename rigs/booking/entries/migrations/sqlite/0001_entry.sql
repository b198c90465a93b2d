create table entry (place integer primary key, name text not null, filling text not null) strict;
create index entry_name on entry (name);
