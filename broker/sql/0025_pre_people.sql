-- Who may look at the pages, and act there.
create table person (
    name       text primary key,
    role       text not null check (role in ('viewer', 'operator', 'admin')),
    password   text not null,                       -- Argon2id, with its parameters and salt
    failures   integer not null default 0,          -- wrong passwords since the last right one
    failed_at  timestamptz,
    made_at    timestamptz not null,
    made_by    text not null,
    seen_at    timestamptz                          -- the last time that they signed in
);

-- Somebody who has signed in. The cookie's 256 random bits are found by their digest.
create table sign_in (
    digest  bytea primary key,
    person  text not null references person on delete cascade,
    made_at timestamptz not null,
    ends_at timestamptz not null
);
create index sign_in_person on sign_in (person);    -- all of one are ended together
