-- The sweep: tokens about to expire, but not those whose refresh was refused for good.
alter table token add column refused_at timestamptz;             -- the shop has to install the app again
create index token_expiry on token (expires_at) where refused_at is null;
