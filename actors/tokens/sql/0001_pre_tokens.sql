-- The tokens of shops. Only the owner of the schema reads them: grant nobody else.

create table token (
    shop_id       text not null,
    provider      text not null,
    access_token  text not null,
    refresh_token text not null,         -- the provider may give a new one with each refresh; the old one is void then
    expires_at    timestamptz not null,
    refreshed_at  timestamptz not null default clock_timestamp(),
    primary key (shop_id, provider)      -- refresh
);
