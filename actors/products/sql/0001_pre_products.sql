-- Products as their pages showed them last.

create table product (
    shop_id      text not null,
    product_id   text not null,
    url          text not null,
    name         text,
    price        numeric(18, 4),
    currency     text,
    availability text,
    status       text not null check (status in ('completed', 'failed')),
    reason       text,                  -- why the last look failed; what was found before stays
    scraped_at   timestamptz,           -- the last look that succeeded
    primary key (shop_id, product_id)
);
create index product_failed on product (shop_id) where status = 'failed';   -- what a shop has to look at
