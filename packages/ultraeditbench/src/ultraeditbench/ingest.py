"""First stages: files into tables, and names into entities.

Makes `raw` (statements as read), `rels` (relation text -> number), `entities` (one row a distinct
label) and
`facts` (distinct statements as numbers).  Two entities with one label cannot be told apart in a
prompt, so a label
stands for its clearly most frequent entity (ten times the runner-up's statements) or, without one,
for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ultraedit.errors import DataError
from ultraeditbench.classes import CODE, class_of_kind
from ultraeditbench.database import WorkDatabase
from ultraeditbench.relations import Relation, resolve
from ultraeditbench.sources import Source, read, reading, sniff
from ultraeditbench.statements import Label, Triple

_BATCH = 100_000
DOMINANCE = 10
"""How many times the runner-up's statements an entity needs to own a label that it shares."""

_KINDS = (
    ("person",),
    ("place", "org", "event", "office"),
    ("work", "product", "model"),
    ("taxon",),
)
"""Classes that one thing does not have together."""
_MIXED = 4
"""A name is shared if a quarter of what is known of it is of another kind than the rest."""
_MIXED_WORD = 20
"""The same for names of one word, where a twentieth will do, and a town is no company."""


def _flush(db: WorkDatabase, triples: list[Triple], labels: list[Label], source: int) -> None:
    import pyarrow as pa

    text = pa.string()
    if triples:
        names = ("s", "sl", "r", "o", "ol", "start")
        columns = [pa.array(column, type=text) for column in zip(*triples, strict=True)]
        db.con.register("batch", pa.table(columns, names=names))
        db.con.execute("INSERT INTO raw SELECT * FROM batch")
        db.con.unregister("batch")
        triples.clear()
    if labels:
        columns = [pa.array(column, type=text) for column in zip(*labels, strict=True)]
        db.con.register("batch", pa.table(columns, names=("id", "label")))
        db.con.execute("INSERT INTO labels SELECT id, label, ? FROM batch", [source])
        db.con.unregister("batch")
        labels.clear()


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _load_one(db: WorkDatabase, source: Source, number: int) -> None:
    """Reads one file into `raw` and `labels`."""
    if source.form == "id-table":
        db.con.execute(
            "INSERT INTO raw SELECT s, NULL, r, o, NULL, NULL FROM read_csv("
            f"{_literal(source.path)}, delim='\t', header=false, quote='', escape='', "
            "columns={'s': 'VARCHAR', 'r': 'VARCHAR', 'o': 'VARCHAR'})"
        )
        return
    if source.form == "alias-lines":
        # a line is an id and its names; the first name is the label
        db.con.execute(
            "INSERT INTO labels SELECT split_part(line, '\t', 1), split_part(line, '\t', 2), ? "
            f"FROM read_csv({_literal(source.path)}, delim='\x01', header=false, "
            "quote='', escape='', "
            "max_line_size=4000000, columns={'line': 'VARCHAR'})",
            [number],
        )
        return
    triples: list[Triple] = []
    labels: list[Label] = []
    for item in read(source):
        if isinstance(item, Triple):
            triples.append(item)
        else:
            labels.append(item)
        if len(triples) + len(labels) >= _BATCH:
            _flush(db, triples, labels, number)
    _flush(db, triples, labels, number)


def load(db: WorkDatabase, files: Iterable[Path], tick: Callable[[str], None]) -> None:
    """Reads every file into `raw` and `labels`.  Raises `DataError` for a file of no known form, or
    one that is damaged."""
    import duckdb

    db.con.execute(
        "CREATE TABLE raw (s VARCHAR, sl VARCHAR, r VARCHAR, o VARCHAR, ol VARCHAR, start VARCHAR)"
    )
    db.con.execute("CREATE TABLE labels (id VARCHAR, label VARCHAR, source INTEGER)")
    sources = [sniff(path) for path in files]
    for number, source in enumerate(sources):
        tick(f"reading {source.path.name} ({source.form})")
        try:
            with reading(source.path, source.form):
                _load_one(db, source, number)
        except duckdb.Error as error:
            why = str(error).splitlines()[0]
            raise DataError(
                f"{str(source.path)!r} cannot be read ({why}); mend the file or get it again."
            ) from error
    total = db.one("SELECT count(*) FROM raw")
    if not total:
        names = ", ".join(str(source.path) for source in sources)
        raise DataError(f"No triples in {names}; only labels were found.")
    db.count("triples read", total)


def _relations(db: WorkDatabase) -> None:
    """`rels`: every distinct relation text with the number of its relation; NULL where nothing is
    asked."""
    known: dict[str, int] = {}
    rows: list[tuple[object, ...]] = []
    names = dict(
        db.con.execute(
            "SELECT id, arg_min(label, source) FROM labels WHERE id LIKE 'P%' "
            "GROUP BY id ORDER BY id"
        ).fetchall()
    )
    texts = [row[0] for row in db.con.execute("SELECT DISTINCT r FROM raw ORDER BY r").fetchall()]
    for text in texts:
        relation: Relation | None = resolve(text, names)
        if relation is None or relation.skip:
            label = relation.label if relation else names.get(text, text)
            rows.append((text, None, text, label, 0, 0, False, False, False, [], None, None))
            continue
        number = known.setdefault(relation.id, len(known))
        rows.append(
            (text, number, relation.id, relation.label, CODE[relation.domain], CODE[relation.range],
             relation.mutable, relation.common, relation.titles,
             [CODE[name] for name in relation.never],
             relation.refuse_subject, relation.refuse_answer)
        )  # fmt: skip
    db.con.execute(
        "CREATE TABLE rels (text VARCHAR, r SMALLINT, id VARCHAR, label VARCHAR, domain UTINYINT, "
        "range UTINYINT, mutable BOOLEAN, common BOOLEAN, titles BOOLEAN, "
        "never UTINYINT[], refuse_subject VARCHAR, "
        "refuse_answer VARCHAR)"
    )
    db.con.executemany(f"INSERT INTO rels VALUES ({', '.join('?' * 12)})", rows)
    # one row a relation, as several texts ("P19", "place of birth") may mean the same one
    db.con.execute(
        "CREATE TABLE relations AS SELECT r, min(id) AS id, min(label) AS label, "
        "min(domain) AS domain, "
        "min(range) AS range, bool_or(mutable) AS mutable, bool_or(common) AS common, "
        "bool_or(titles) AS titles, "
        "any_value(never) AS never, min(refuse_subject) AS refuse_subject, "
        "min(refuse_answer) AS refuse_answer FROM rels WHERE r IS NOT NULL GROUP BY r"
    )


def identify(db: WorkDatabase) -> None:
    """Makes `rels`, `relations`, `entities`, `node_of` and `facts` from `raw` and `labels`."""
    con = db.con
    _relations(db)
    con.execute("""
        CREATE TEMP TABLE nodes AS
        WITH ends AS (
            SELECT coalesce(s, '=' || sl) AS node, sl AS label FROM raw
            UNION ALL SELECT coalesce(o, '=' || ol), ol FROM raw
        ), degrees AS (
            SELECT node, count(*) AS degree, min(label) AS own FROM ends WHERE node IS NOT NULL
            GROUP BY node
        ), named AS (SELECT id, arg_min(label, (source, label)) AS label FROM labels GROUP BY id)
        SELECT node, degree, node NOT LIKE '=%' AS has_id,
               nullif(trim(regexp_replace(nfc_normalize(coalesce(n.label, own)), '\\s+', ' ',
               'g')), '') AS label
        FROM degrees LEFT JOIN named n ON n.id = node
    """)
    con.execute("ALTER TABLE nodes ADD COLUMN key VARCHAR")
    # a node without a label is an entity of its own, under a key that no label can have
    con.execute("UPDATE nodes SET key = coalesce(lower(label), '\x01' || node)")
    con.execute(f"""
        CREATE TEMP TABLE owners AS
        SELECT key, arg_max(node, (degree, node)) AS owner, count(*) AS n,
               max(degree) >= {DOMINANCE} * coalesce(list_sort(list(degree), 'DESC')[2], 0) AS clear
        FROM nodes WHERE has_id GROUP BY key
    """)
    con.execute("""
        CREATE TABLE entities AS
        SELECT (row_number() OVER (ORDER BY key))::INTEGER AS e, key, label, id, clear, both_cases
        FROM (
            SELECT n.key, arg_max(n.label, (n.degree, n.label)) AS label,
                   coalesce(bool_or(n.label = n.key) AND bool_or(n.label <> n.key), false)
                       AS both_cases,
                   any_value(o.owner) AS id, coalesce(bool_and(o.clear), true) AS clear
            FROM nodes n LEFT JOIN owners o ON o.key = n.key GROUP BY n.key
        )
    """)
    con.execute("""
        CREATE TABLE node_of AS
        SELECT n.node, e.e, e.clear AND (NOT n.has_id OR n.node = e.id) AS owns
        FROM nodes n JOIN entities e ON e.key = n.key
    """)
    con.execute("DROP TABLE nodes")
    con.execute("DROP TABLE owners")
    asked = db.one(
        "SELECT count(*) FROM raw JOIN rels ON rels.text = raw.r WHERE rels.r IS NOT NULL"
    )
    db.count(
        "dropped: relation is not asked (no wording, or about sources and names)",
        db.counts()["triples read"] - asked,
    )
    con.execute("""
        CREATE TEMP TABLE mapped AS
        SELECT ns.e AS s, rels.r AS r, no.e AS o, raw.start AS start, ns.owns AS owns
        FROM raw JOIN rels ON rels.text = raw.r AND rels.r IS NOT NULL
        JOIN node_of ns ON ns.node = coalesce(raw.s, '=' || raw.sl)
        JOIN node_of no ON no.node = coalesce(raw.o, '=' || raw.ol)
    """)
    total, owned = con.execute("SELECT count(*), count(*) FILTER (owns) FROM mapped").fetchall()[0]
    db.count("dropped: an end of the triple is empty", asked - total)
    db.count("dropped: subject label shared by several entities", total - owned)
    con.execute(
        "CREATE TABLE facts AS SELECT s, r, o, max(start) AS start FROM mapped "
        "WHERE owns GROUP BY s, r, o"
    )
    con.execute("DROP TABLE mapped")
    db.count("dropped: the same triple again", owned - db.one("SELECT count(*) FROM facts"))
    con.execute("DROP TABLE raw")
    con.execute("DROP TABLE labels")
    con.execute("DROP TABLE node_of")


def classify(db: WorkDatabase) -> None:
    """Makes `classes` (entity -> class) from `instance of` facts, else from the relations an
    entity is in."""
    con = db.con
    kinds = con.execute("""
        SELECT DISTINCT f.o, e.label FROM facts f JOIN relations USING (r) JOIN entities e ON e.e =
        f.o
        WHERE relations.id = 'P31' AND e.label IS NOT NULL ORDER BY f.o
    """).fetchall()
    con.execute("CREATE TEMP TABLE kind_class (o INTEGER, cls UTINYINT)")
    known = [(o, CODE[class_of_kind(label)]) for o, label in kinds]
    if known:
        import pyarrow as pa

        columns = [
            pa.array([row[0] for row in known], pa.int32()),
            pa.array([row[1] for row in known], pa.uint8()),
        ]
        con.register("batch", pa.table(columns, names=("o", "cls")))
        con.execute("INSERT INTO kind_class SELECT o, cls FROM batch WHERE cls > 0")
        con.unregister("batch")
    con.execute("""
        CREATE TEMP TABLE evidence AS
        SELECT e, cls, sum(n)::BIGINT AS n FROM (
            SELECT f.s AS e, k.cls, count(*) * 1000000 AS n FROM facts f JOIN relations x USING (r)
            JOIN kind_class k ON k.o = f.o WHERE x.id = 'P31' GROUP BY f.s, k.cls
            UNION ALL
            SELECT s, domain, count(*) FROM facts JOIN relations USING (r) WHERE domain > 0
            GROUP BY s, domain
            UNION ALL
            SELECT o, range, count(*) FROM facts JOIN relations USING (r) WHERE range > 0
            GROUP BY o, range
        ) GROUP BY e, cls
    """)
    # what is a person in one fact and a town in another is two things of one name
    group = " ".join(
        f"WHEN cls IN ({', '.join(str(CODE[name]) for name in names)}) THEN {number}"
        for number, names in enumerate(_KINDS)
    )
    con.execute(f"""
        CREATE TABLE classes AS
        SELECT c.e, c.cls, c.told, coalesce(m.mixed, false) AS mixed FROM (
            SELECT e, arg_max(cls, (n, cls))::UTINYINT AS cls, max(n) >= 1000000 AS told
            FROM evidence GROUP BY e
        ) c LEFT JOIN (
            SELECT e, (sum(n) - max(n)) * CASE WHEN bool_or(one) THEN {_MIXED_WORD} ELSE {_MIXED} END
                >= sum(n) AS mixed
            FROM (
                SELECT evidence.e AS e, NOT contains(label, ' ') AS one,
                       CASE WHEN NOT contains(label, ' ') AND cls = {CODE["place"]} THEN -1
                            {group} END AS kind,
                       sum(n) AS n
                FROM evidence JOIN entities USING (e) GROUP BY ALL
            ) WHERE kind IS NOT NULL GROUP BY e
        ) m ON m.e = c.e
    """)
