"""Stages: which usable facts become edits, what their targets are, and which facts probe for side
effects.

Every choice is by the MD5 of the seed and the fact, never by chance or by the order of rows.  A
tenth of the subjects is
set aside for probes, and of a subject with three or more facts one is held back: no probe is ever
edited.
"""

from __future__ import annotations

import math

from ultraeditbench.classes import CODE
from ultraeditbench.config import BuildConfig
from ultraeditbench.database import WorkDatabase
from ultraeditbench.relations import templates

PROBE_PERCENT = 10
SPLITS = ("train", "dev", "eval")
_TRIES = 6
"""Candidates looked at for a target or a probe before doing without."""
_ENOUGH = 20
"""Objects that a relation must name twice or more before those named once are no targets: where
a few answers cover most subjects, the answers given once are often mistakes of the source."""
_HOP_CLASSES = ("person", "place", "org", "work")
_HOP_ANY = ("P17", "P112", "P159", "P571", "P37")
"""Relations of any subject that read well as the second hop."""


def _hash(*parts: str) -> str:
    return f"md5_number_lower(concat({', '.join(parts)}))"


def choose(db: WorkDatabase, config: BuildConfig) -> None:
    """Makes `roles` (each usable fact as edit, held or probe) and `chosen` (the edits, in stream
    order)."""
    con = db.con
    dev, last = round(config.dev * 1e6), round((config.dev + config.eval) * 1e6)
    con.execute(f"""
        CREATE TEMP TABLE subjects AS
        SELECT u.s, u.n, u.first, n.bucket, u.aside FROM (
            SELECT s, count(*) AS n, min(h) AS first,
                   {_hash(f"'{config.seed}:aside:'", "s")} % 100 < {PROBE_PERCENT} AS aside
            FROM usable GROUP BY s
        ) u JOIN (SELECT e, {_hash("'split:'", "key")} % 1000000 AS bucket FROM names) n
            ON n.e = u.s
    """)
    con.execute(f"""
        CREATE TABLE roles AS
        SELECT u.*, CASE WHEN bucket < {dev} THEN 1 WHEN bucket < {last}
            THEN 2 ELSE 0 END::UTINYINT AS split,
               CASE WHEN x.aside THEN 'probe' WHEN x.n >= 3 AND u.h = x.first
                   THEN 'held' ELSE 'edit' END AS role
        FROM usable u JOIN subjects x USING (s)
    """)
    con.execute("DROP TABLE subjects")
    con.execute("DROP TABLE usable")
    only = (
        "JOIN relations USING (r) WHERE role = 'edit' AND mutable"
        if config.kind == "update"
        else "WHERE role = 'edit'"
    )
    db.count(
        "kept as probes: subjects set aside (facts)",
        db.one("SELECT count(*) FROM roles WHERE role = 'probe'"),
    )
    db.count(
        "kept as probes: one fact of a subject with three or more",
        db.one("SELECT count(*) FROM roles WHERE role = 'held'"),
    )
    db.count("facts that may be edited", db.one(f"SELECT count(*) FROM roles {only}"))
    # a little more than asked for, as some fail the gates on the finished text
    firsts = math.ceil(config.size / (1 + config.conflicts))
    reserve = math.ceil(firsts * 0.04) + 1000
    con.execute(f"""
        CREATE TABLE chosen AS
        SELECT (row_number() OVER (ORDER BY ord, s, r))::INTEGER - 1 AS i, s, r, o, prev, h,
            split FROM (
            SELECT s, r, o, prev, h, split, {_hash(f"'{config.seed}:order:'", "h")} AS ord
            FROM roles {only} ORDER BY ord, s, r LIMIT {firsts + reserve}
        )
    """)


def _pick_objects(db: WorkDatabase, need: str, salt: str) -> None:
    """`picked(i, t)`: for each row of `need` another object of its relation, of the same class,
    that is not true."""
    db.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE picked AS
        SELECT c.i, arg_min(p.o, c.j) AS t
        FROM (
            SELECT d.*, j.j, ({_hash("d.h", f"'{salt}'")} // 2 + j.j * 7919) % m.n AS k
            FROM ({need}) d JOIN (SELECT r, count(*) AS n FROM objects GROUP BY r) m ON m.r = d.r
            CROSS JOIN (SELECT unnest(range({_TRIES})) AS j) j
        ) c
        JOIN objects p ON p.r = c.r AND p.k = c.k
        JOIN names a ON a.e = p.o JOIN names b ON b.e = c.o JOIN names sn ON sn.e = c.s
        LEFT JOIN classes ca ON ca.e = p.o LEFT JOIN classes cb ON cb.e = c.o
        WHERE p.o <> c.o AND p.o <> coalesce(c.prev, -1) AND p.o <> coalesce(c.t0, -1)
            AND p.o <> c.s
          AND coalesce(ca.cls, 0) = coalesce(cb.cls, 0)
          AND NOT contains(a.norm, b.norm) AND NOT contains(b.norm, a.norm)
          AND NOT contains(sn.norm, a.norm)
        GROUP BY c.i
    """)


def aim(db: WorkDatabase, config: BuildConfig) -> None:
    """Makes `edits`: `chosen` with the target `t` and the answer before it; contradicting edits
    have variant 1."""
    con = db.con
    con.execute(f"""
        CREATE TEMP TABLE objects AS
        SELECT r, o, (row_number() OVER (PARTITION BY r ORDER BY {_hash("o")}, o)) - 1 AS k
        FROM (
            SELECT r, o, count(*) >= 2 AS often,
                   count(*) FILTER (count(*) >= 2) OVER (PARTITION BY r) >= {_ENOUGH} AS enough
            FROM roles GROUP BY r, o
        ) WHERE often OR NOT enough
    """)
    if config.kind == "new":
        con.execute(
            "CREATE TABLE edits AS "
            "SELECT *, 0::UTINYINT AS variant, o AS t, NULL::INTEGER AS old FROM chosen"
        )
    else:
        # an update whose dates are known needs no invented target
        _pick_objects(db, "SELECT *, NULL::INTEGER AS t0 FROM chosen WHERE prev IS NULL", ":target")
        con.execute("""
            CREATE TABLE edits AS
            SELECT c.*, 0::UTINYINT AS variant, coalesce(p.t, c.o) AS t,
                   CASE WHEN c.prev IS NULL THEN c.o ELSE c.prev END AS old
            FROM chosen c LEFT JOIN picked p USING (i) WHERE c.prev IS NOT NULL OR p.t IS NOT NULL
        """)
        lost = db.one("SELECT count(*) FROM chosen") - db.one("SELECT count(*) FROM edits")
        db.count("dropped: no other object of the same class for a target", lost)
        if config.kind == "update":
            db.count(
                "updates with dates in the input",
                db.one("SELECT count(*) FROM edits WHERE prev IS NOT NULL"),
            )
    if config.conflicts:
        share = round(config.conflicts * 1e6)
        need = (
            f"SELECT *, t AS t0 FROM edits WHERE {_hash('h', repr(':twice'))} % 1000000 < {share}"
        )
        _pick_objects(db, need, ":again")
        con.execute("""
            INSERT INTO edits SELECT c.i, c.s, c.r, c.o, c.prev, c.h, c.split, 1, p.t, c.t AS old
            FROM edits c JOIN picked p USING (i)
        """)
    con.execute("DROP TABLE chosen")


def probe(db: WorkDatabase, config: BuildConfig) -> None:
    """Makes `plan`: one row an edit with all labels that its prompts need, in stream order."""
    con = db.con
    con.execute(f"""
        CREATE TEMP TABLE pool AS
        SELECT split, r, s, o, (row_number() OVER (PARTITION BY split, r ORDER BY h, s)) - 1 AS k,
               (row_number() OVER (PARTITION BY split ORDER BY {_hash("h", "':any'")}, s,
                   r)) - 1 AS kk
        FROM roles WHERE role = 'probe'
    """)
    # the index is worked out before the join, so that the join is on plain columns
    con.execute(f"""
        CREATE TEMP TABLE same_relation AS
        SELECT c.i, c.variant, arg_min({{'s': p.s, 'o': p.o}}, c.j) AS p
        FROM (
            SELECT e.*, j.j, ({_hash("e.h", "':same'", "e.variant")} // 2 + j.j) % m.n AS k
            FROM edits e JOIN (SELECT split, r, count(*) AS n FROM pool GROUP BY split,
                r) m USING (split, r)
            CROSS JOIN (SELECT unnest(range({_TRIES})) AS j) j
        ) c JOIN pool p ON p.split = c.split AND p.r = c.r AND p.k = c.k
        WHERE p.o <> c.t AND p.o <> coalesce(c.old, -1) AND p.s <> c.t
        GROUP BY c.i, c.variant
    """)
    con.execute(f"""
        CREATE TEMP TABLE unrelated AS
        SELECT c.i, c.variant, arg_min({{'s': p.s, 'r': p.r, 'o': p.o}}, c.j) AS p
        FROM (
            SELECT e.*, j.j, ({_hash("e.h", "':far'", "e.variant")} // 2 + j.j) % m.n AS kk
            FROM edits e JOIN (SELECT split, count(*) AS n FROM pool GROUP BY split) m USING (split)
            CROSS JOIN (SELECT unnest(range({_TRIES})) AS j) j
        ) c JOIN pool p ON p.split = c.split AND p.kk = c.kk
        WHERE p.r <> c.r AND p.o <> c.t AND p.s <> c.t AND p.o <> c.s
        GROUP BY c.i, c.variant
    """)
    con.execute("DROP TABLE pool")
    _hops(db, config)
    con.execute("""
        CREATE TABLE plan AS
        SELECT e.i, e.variant, e.split, e.r, sn.label AS s, coalesce(sc.cls, 0) AS s_cls, sn.id AS
        s_id,
               tn.label AS t, coalesce(tc.cls, 0) AS t_cls, tn.id AS t_id, qn.label AS old,
               an.label AS near_s, coalesce(ac.cls, 0) AS near_cls, ao.label AS near_o,
               held.r AS own_r, ho.label AS own_o,
               fn.label AS far_s, coalesce(fc.cls, 0) AS far_cls, far.p.r AS far_r, fo.label AS
               far_o,
               hop.r AS hop_r, po.label AS hop_o
        FROM edits e
        JOIN names sn ON sn.e = e.s LEFT JOIN classes sc ON sc.e = e.s
        JOIN names tn ON tn.e = e.t LEFT JOIN classes tc ON tc.e = e.t
        LEFT JOIN names qn ON qn.e = e.old
        LEFT JOIN same_relation near ON near.i = e.i AND near.variant = e.variant
        LEFT JOIN names an ON an.e = near.p.s LEFT JOIN classes ac ON ac.e = near.p.s
        LEFT JOIN names ao ON ao.e = near.p.o
        LEFT JOIN (SELECT s, r, o FROM roles WHERE role = 'held') held ON held.s = e.s AND held.r
        <> e.r
        LEFT JOIN names ho ON ho.e = held.o
        LEFT JOIN unrelated far ON far.i = e.i AND far.variant = e.variant
        LEFT JOIN names fn ON fn.e = far.p.s LEFT JOIN classes fc ON fc.e = far.p.s
        LEFT JOIN names fo ON fo.e = far.p.o
        LEFT JOIN hops hop ON hop.i = e.i AND hop.variant = e.variant
        LEFT JOIN names po ON po.e = hop.o
        ORDER BY e.variant, e.i
    """)
    for table in ("same_relation", "unrelated", "hops", "edits", "roles", "names", "classes"):
        con.execute(f"DROP TABLE {table}")


def _hops(db: WorkDatabase, config: BuildConfig) -> None:
    """`hops(i, variant, r, o)`: a fact about the edit's target that a two-hop question can ask
    for."""
    own = templates()[0]
    # "the child of Ada" says that there is one
    nouns = [k for k, relation in sorted(own.items()) if relation.noun and not relation.many]
    codes = ", ".join(str(CODE[name]) for name in _HOP_CLASSES)
    # where targets are untrue, only facts that no edit touches have a known answer
    free = "" if config.kind == "new" else "AND role <> 'edit'"
    singular = [
        own_id
        for own_id, relation in sorted(own.items())
        if not (relation.many or own_id in ("P1376", "P131", "P276", "P6885"))
    ]
    # many places share a name; without ids at both ends, only countries are safe to go on from
    countries = tuple(k for k, relation in sorted(own.items()) if relation.range == "country")
    db.con.execute(f"""
        CREATE TEMP TABLE second AS
        SELECT s, r, o, domain, id, row_number() OVER (PARTITION BY s ORDER BY h) AS k
        FROM roles JOIN relations USING (r)
        WHERE (domain IN ({codes}) OR id IN {_HOP_ANY}) AND id IN {tuple(singular)} {free}
        QUALIFY k <= 8
    """)
    db.con.execute(f"""
        CREATE TEMP TABLE hops AS
        SELECT e.i, e.variant, arg_min(x.r, (x.k + e.h % 8) % 8) AS r, arg_min(x.o,
            (x.k + e.h % 8) % 8) AS o
        FROM edits e JOIN relations f ON f.r = e.r AND f.id IN {tuple(nouns)}
            AND f.range IN ({codes})
        JOIN names sn ON sn.e = e.s JOIN names tn ON tn.e = e.t
             AND (f.range <> {CODE["place"]} OR f.id IN {countries}
                  OR (sn.id IS NOT NULL AND tn.id IS NOT NULL))
        JOIN second x ON x.s = e.t AND (x.domain = f.range OR x.domain = 0) AND x.r <> e.r
             AND x.o <> e.s AND x.o <> e.t
        GROUP BY e.i, e.variant
    """)
    db.con.execute("DROP TABLE second")
