create table accounts (
    account_id text not null primary key,
    email text not null unique,          -- in lower case
    name text not null,
    password_hash text not null,         -- argon2id, with its parameters (PHC string)
    opened_at timestamptz not null
);
