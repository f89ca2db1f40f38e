"""The roles of PostgreSQL that `callboard setup postgres` makes: whether all are there, have their rights, and are used."""

from ops.access.postgres import ROLES, missing, name_of
from ops.doctor.finding import Remark, Remarks, fail, ok, some, warn
from ops.doctor.patient import Patient

_UNGRANTED = """
select coalesce(array_agg(c.oid::regclass::text order by c.relname), '{}')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname = any(%(schemas)s)
  and not (has_table_privilege(%(worker)s, c.oid, 'select') and has_table_privilege(%(worker)s, c.oid, 'insert')
           and has_table_privilege(%(worker)s, c.oid, 'update') and has_table_privilege(%(worker)s, c.oid, 'delete')
           and (not c.relrowsecurity or exists (
                select from pg_policy p join pg_roles r on r.oid = any(p.polroles)
                where p.polrelid = c.oid and r.rolname = %(worker)s)))"""
_WHO = """
select current_user, rolsuper, exists (select from pg_namespace where nspname = %(schema)s and nspowner = r.oid)
from pg_roles r where rolname = current_user"""


def roles(patient: Patient) -> Remarks:
    """One role for everything is fine where nobody has asked for more."""
    namespace = patient.settings.namespace
    lacking = missing(patient.db, namespace)
    if len(lacking) == len(ROLES):
        yield ok(
            "one role does everything; `callboard setup postgres` makes some that may do their part only"
        )
        return
    wrong = list[Remark]()
    if lacking:
        wrong.append(warn(f"there is no role {some(lacking)}", "`callboard setup postgres`, as the owner"))
    worker = name_of("worker", namespace)
    if worker not in lacking:
        schemas = [namespace, *(name for name, _ in patient.app.domains)]
        (tables,) = patient.one(_UNGRANTED, {"schemas": schemas, "worker": worker})
        if isinstance(tables, list) and tables:
            wrong.append(
                fail(f"{worker} may not write {some(tables)}", "`callboard setup postgres`, as their owner")
            )
    user, superuser, owner = patient.one(_WHO, {"schema": namespace})
    if superuser or owner:
        kind = "a superuser" if superuser else "the owner of the tables"
        wrong.append(
            warn(
                f"we connect as {user}, {kind}, and there are roles that may do less",
                "callboard setup postgres LOGIN --as worker (or web), and use that login",
            )
        )
    yield from wrong or [ok(f"all {len(ROLES)} roles are there, with their rights")]
