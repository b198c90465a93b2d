create table booked (place integer primary key, name text not null, author text not null) strict;
