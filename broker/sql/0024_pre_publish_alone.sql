-- `publish` runs with the rights of whoever owns it, so that a role needs the right to call it and none on any table. Whoever could
-- publish before, by a right to insert into the outbox, can do so after. pg_temp comes last by name: else a temporary table `outbox` of
-- the caller's would stand before ours, and its triggers would run with the owner's rights.
do $$
declare
    grantee text;
begin
    execute format('alter function publish(text, jsonb, text, text) security definer set search_path = %I, pg_temp', current_schema());
    revoke execute on function publish(text, jsonb, text, text) from public;
    for grantee in
        select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'outbox'::regclass and a.privilege_type = 'INSERT'
    loop
        execute format('grant execute on function publish(text, jsonb, text, text) to %s', grantee);
    end loop;
end $$;
