"""Stage: which statements can become questions.  Every gate counts what it drops.

Makes `names` (labels with what the gates need), `pairs` (subject and relation with the number of
objects) and
`usable`: one row for each (subject, relation) that has exactly one object and passes all gates.
"""

from __future__ import annotations

from ultraeditbench.articles import PLAIN_END
from ultraeditbench.classes import CODE
from ultraeditbench.config import BuildConfig
from ultraeditbench.database import WorkDatabase
from ultraeditbench.phrases import PLAIN_CLASSES

_NORM = "' ' || trim(regexp_replace(lower(label), '[^\\p{L}\\p{N}]+', ' ', 'g')) || ' '"
# Latin letters, digits, marks, punctuation, signs and blanks, with at least one letter or digit
_LATIN = "regexp_full_match(label, '[\\p{Latin}\\p{Lm}\\p{N}\\p{M}\\p{P}\\p{S}\\p{Zs}]+')"
_RUBBISH = (
    "regexp_full_match(label, '[QPL]\\d+') OR contains(label, '\"') OR contains(label, '://') "
    "OR contains(label, '{') OR starts_with(lower(label), 'list of ') "
    "OR contains(label, '|') OR NOT regexp_matches(label, '[\\p{L}\\p{N}]')"
)
# names of people, places, bodies and works have a capital letter; "anonymous" or "city" in their
# stead is no name
_NAMED = f"({CODE['person']}, {CODE['place']}, {CODE['org']}, {CODE['work']})"
# "Ministry of Information", "Minister for Health": every country has one
_OFFICE = (
    "regexp_full_match(label, '(?:Ministry|Minister|Department|Secretary|Supreme Court|"
    "National Assembly|House of Representatives|Parliament|Senate|Federal Court|Cabinet|"
    "Attorney General|Prime Minister|President)(?: (?:of|for)(?: the)? .*)?')"
)
# what `phrases.is_common` puts in quotation marks: "zinc", "Roman fort"; a title may look like the
# latter
_PLAIN = sorted({*PLAIN_CLASSES, "person", "work"})
COMMON = (
    f"(coalesce(sc.cls, 0) NOT IN ({', '.join(str(CODE[name]) for name in _PLAIN)}) "
    "AND sn.label = lower(sn.label) AND regexp_matches(sn.label, '^\\p{{L}}') "
    "AND NOT regexp_matches(sn.label, '^[a-z ]+ at the \\d') "
    f"OR NOT rel.titles AND coalesce(sc.cls, 0) IN ({CODE['any']}, {CODE['concept']}) "
    "AND regexp_full_match(sn.label, '[A-Z][\\p{{Ll}}-]+( [\\p{{Ll}}''-]+)+') "
    "AND NOT regexp_matches(sn.label, '{plain_end}'))"
)
# "St James's Church", "Palace Hotel": every other town has one; so with counties, stations called
# after a street and newspapers
_SHARED_HOUSE = (
    "regexp_full_match(sn.label, '(?:(?:(?:St\\.?|Saint|San|Santa) [^ ,]+|Holy Trinity|Trinity|Christ|"
    "Community|Memorial|City|Town|Palace|Grand|Central|Royal) "
    "(?:Church|School|Hospital|Hall|Hotel|Chapel|High School|Theatre|Theater|Library|Museum|Park)|"
    "[^ ,]+ (?:County|Township)|(?:The )?(?:Daily|Evening|Morning|Weekly|Sunday) [^ ]+|"
    "(?:\\d+\\w\\w|Main|Market|High|Church|Union|Central|Washington|Broad|King|Queen|University|Airport|"
    "Museum|Stadium)(?: (?:Street|Avenue|Road|Square|Park))?(?: railway| metro)? [Ss]tation)')"
)
_NOUN_RANGES = ("substance", "disease", "taxon", "concept", "office", "language", "year", "number")
"""What a relation may ask for where the answer is a common noun as a rule."""
_STAGE = ("P4647", "P1191", "P87")
_FILM = ("P344", "P272", "P915", "P1040", "P364")
"""Relations of what is first performed on a stage, and of what is filmed."""
_COUNTRY = ("P17", "P27", "P495")
_GIVEN = 20
"""People whose name begins with a word, from which on the word alone names none of them."""

GATES: tuple[tuple[str, str], ...] = (
    ("no label", "sn.label IS NULL OR an.label IS NULL"),
    ("label language (not in Latin script, or an id or address)", "NOT sn.plain OR NOT an.plain"),
    ("subject length", "length(sn.label) > {max_subject_chars} OR length(sn.label) < 2 "
     "OR NOT regexp_matches(sn.label, '\\p{{L}}')"),
    ("answer length",
     "length(an.label) > {max_answer_chars} OR an.word_count > {max_answer_words}"),
    ("answer type (no year, number or name where the relation asks for one)",
     "CASE rel.range WHEN {year} THEN NOT regexp_full_match(an.label, '[1-9]\\d{{0,3}}') "
     "WHEN {number} THEN NOT regexp_full_match(an.label, '\\d[\\d.,]*') "
     "ELSE regexp_full_match(an.label, '[\\d.,]+') END "
     "OR (rel.range IN {named} AND an.label = lower(an.label)) "
     "OR (rel.range = {person} AND ac.cls NOT IN ({any}, {person})) "
     "OR (rel.range NOT IN ({any}, {person}) AND ac.cls = {person})"),
    ("answer that the relation's wordings do not suit",
     "regexp_matches(an.label, rel.refuse_answer)"),
    ("subject type (a common noun, or of another class than the relation is about)",
     "(rel.domain IN {named} AND sn.label = lower(sn.label)) "
     "OR (rel.domain = {place} AND regexp_matches(sn.label, '^(1[5-9]|20)\\d\\d .* \\p{{Ll}}+$')) "
     "OR (rel.domain = {person} AND sc.told AND sc.cls <> {person}) "
     "OR (rel.domain > 0 AND rel.domain <> {person} AND sc.cls = {person})"),
    ("subject that the relation's wordings do not suit",
     "list_contains(rel.never, coalesce(sc.cls, 0)) "
     "OR regexp_matches(sn.label, rel.refuse_subject)"),
    ("subject is a common noun, and the relation is about things with names",
     f"NOT rel.common AND rel.domain <> {{person}} AND {COMMON}"),
    ("subject is an office that every country has, or a house or county of which there are many",
     f"office.e IS NOT NULL OR {_SHARED_HOUSE}"),
    ("subject label is a name in one source and a common noun in another, or the answer is",
     "sn.both OR (an.both AND rel.range NOT IN {nouns})"),
    ("a stage work and a film of one title", "rel.id IN {stage} AND film.s IS NOT NULL"),
    ("answer stands in the subject", "contains(sn.norm, an.norm)"),
    ("subject is a bare given name", "rel.domain = {person} AND given.word IS NOT NULL"),
    ("subject label shared by things of different kinds", "sc.mixed"),
)  # fmt: skip
"""Name and SQL condition of each gate, in order; a statement counts for the first that it fails."""


def name_entities(db: WorkDatabase) -> None:
    """Makes `names` from `entities`."""
    db.con.execute(f"""
        CREATE TABLE names AS
        SELECT e, label, key, id, both_cases AS both, {_NORM} AS norm,
               coalesce({_LATIN} AND NOT ({_RUBBISH}), false) AS plain,
               length({_NORM}) - length(replace({_NORM}, ' ', '')) - 1 AS word_count
        FROM entities
    """)
    db.con.execute("DROP TABLE entities")


def gate(db: WorkDatabase, config: BuildConfig) -> None:
    """Makes `usable` from `facts`; for updates, a pair with dated objects keeps its newest and the
    one before."""
    con = db.con
    dated = config.kind == "update"
    # only updates need the order of a pair's objects
    newest = "arg_max(o, start, 2)" if dated else "NULL::INTEGER[]"
    con.execute(f"""
        CREATE TEMP TABLE pairs AS
        SELECT s, r, count(*) AS n, min(o) AS o, {newest} AS newest,
               count(start) = count(*) AND count(DISTINCT start) = count(*) AS ordered
        FROM facts GROUP BY s, r
    """)
    single = "n = 1 OR (ordered AND len(newest) = 2)" if dated else "n = 1"
    dropped_pairs, dropped = con.execute(
        f"SELECT count(*) FILTER (NOT ({single})), "
        f"coalesce(sum(n) FILTER (NOT ({single})), 0)::BIGINT FROM pairs"
    ).fetchall()[0]
    db.count("dropped: several objects for one subject and relation (triples)", dropped)
    db.count("several objects for one subject and relation (pairs)", dropped_pairs)
    values = {
        "max_subject_chars": config.max_subject_chars,
        "max_answer_chars": config.max_answer_chars,
        "max_answer_words": config.max_answer_words,
        "year": CODE["year"],
        "number": CODE["number"],
        "any": CODE["any"],
        "person": CODE["person"],
        "place": CODE["place"],
        "named": _NAMED,
        "plain_end": PLAIN_END,
        "nouns": tuple(CODE[name] for name in _NOUN_RANGES),
        "stage": _STAGE,
    }
    cases = " ".join(
        f"WHEN {condition.format(**values)} THEN {number}"
        for number, (_, condition) in enumerate(GATES)
    )
    con.execute(f"""
        CREATE TEMP TABLE given AS
        SELECT split_part(label, ' ', 1) AS word FROM names JOIN classes USING (e)
        WHERE cls = {CODE["person"]} AND contains(label, ' ') GROUP BY word
        HAVING count(*) >= {_GIVEN}
    """)
    con.execute(f"""
        CREATE TEMP TABLE film AS
        SELECT DISTINCT s FROM facts JOIN relations USING (r) WHERE relations.id IN {_FILM}
    """)
    con.execute(f"""
        CREATE TEMP TABLE countries AS
        SELECT DISTINCT norm FROM facts JOIN relations USING (r) JOIN names ON e = o
        WHERE relations.id IN {_COUNTRY} AND norm IS NOT NULL
    """)
    # on the few labels that look like an office, as each is compared with every country
    con.execute(f"""
        CREATE TEMP TABLE offices AS
        SELECT n.e FROM (SELECT e, norm FROM names WHERE {_OFFICE}) n
        WHERE NOT EXISTS (FROM countries c WHERE contains(n.norm, c.norm))
    """)
    con.execute("DROP TABLE countries")
    con.execute(f"""
        CREATE TEMP TABLE gated AS
        SELECT p.s, p.r, CASE WHEN n = 1 THEN p.o ELSE newest[1] END AS o,
               CASE WHEN n > 1 THEN newest[2] END AS prev, CASE {cases} ELSE -1 END AS gate
        FROM pairs p JOIN relations rel ON rel.r = p.r
        JOIN names sn ON sn.e = p.s
        JOIN names an ON an.e = CASE WHEN n = 1 THEN p.o ELSE newest[1] END
        LEFT JOIN classes sc ON sc.e = p.s
        LEFT JOIN classes ac ON ac.e = CASE WHEN n = 1 THEN p.o ELSE newest[1] END
        LEFT JOIN given ON given.word = sn.label LEFT JOIN film ON film.s = p.s
        LEFT JOIN offices office ON office.e = p.s
        WHERE {single}
    """)
    failed = dict(con.execute("SELECT gate, count(*) FROM gated GROUP BY gate").fetchall())
    for number, (name, _) in enumerate(GATES):
        db.count(f"dropped: {name}", failed.get(number, 0))
    con.execute(f"""
        CREATE TABLE usable AS
        SELECT s, r, o, prev, md5_number_lower(concat('{config.seed}:', s, ':', r)) AS h
        FROM gated WHERE gate = -1
    """)
    con.execute("DROP TABLE gated")
    con.execute("DROP TABLE given")
    con.execute("DROP TABLE offices")
    con.execute("DROP TABLE film")
    con.execute("DROP TABLE pairs")
    con.execute("DROP TABLE facts")
    db.count("facts that pass all gates", db.one("SELECT count(*) FROM usable"))
