"""How subjects are named in sentences: articles, quotation marks, agreement, personas."""

from __future__ import annotations

import duckdb
import pytest

from ultraeditbench.articles import PLAIN_END
from ultraeditbench.classes import CLASSES, CODE, class_of_kind
from ultraeditbench.gates import COMMON
from ultraeditbench.phrases import fill, holds, is_common, mention, persona


@pytest.mark.parametrize(
    ("label", "cls", "named"),
    [
        ("Netherlands", "place", "the Netherlands"),
        ("France", "place", "France"),
        ("University of Valencia", "org", "the University of Valencia"),
        ("Oxford University Press", "org", "Oxford University Press"),
        ("The Beatles", "org", "The Beatles"),
        ("Los Angeles", "place", "Los Angeles"),
        ("Gila River", "place", "the Gila River"),
        ("2004 Dunedin mayoral election", "event", "the 2004 Dunedin mayoral election"),
        ("1543 Bourgeois", "thing", "1543 Bourgeois"),
        ("Mayor of Seoul", "office", "the Mayor of Seoul"),
        ("Prince Charles of Hesse-Kassel", "person", "Prince Charles of Hesse-Kassel"),
        ("Chinatown Kid", "work", '"Chinatown Kid"'),
        ("fire engine", "concept", '"fire engine"'),
        ("calcium carbonate", "substance", "calcium carbonate"),
        ("Battle of Hastings", "event", "the Battle of Hastings"),
    ],
)
def test_mentions(label: str, cls: str, named: str) -> None:
    assert mention(label, cls) == named
    assert label in named


@pytest.mark.parametrize(
    ("wording", "named", "text"),
    [
        ("Where is {s}?", "the Gila River", "Where is the Gila River?"),
        ("{s} flows into", "the Gila River", "The Gila River flows into"),
        (
            "On which continent is {s} located?",
            "the Rocky Mountains",
            "On which continent are the Rocky Mountains located?",
        ),
        ("What does {s} cross?", "the Twin Falls", "What do the Twin Falls cross?"),
        ("{s} belongs to", "the Rocky Mountains", None),
        ("{s} is found in", "aucubin", None),
        ("Where was {s} made?", "aucubin", "Where was aucubin made?"),
        # nothing tells "was" from "were" here
        ("Where was {s} formed?", "The Marlowers", None),
        ("Who founded {s}?", "The Marlowers", "Who founded The Marlowers?"),
        ("When was {s} found?", '"field equations"', None),
        ("What is {s} part of?", "the municipal districts of Arvenia", None),
        ("Where is {s}?", "the Netherlands", "Where is the Netherlands?"),
        # the verb belongs to what stands before
        ("The head of {s} is held by", "the Quill Islands", None),
        (
            "The place to which {s} is sent is",
            "the Quill Hills",
            "The place to which the Quill Hills are sent is",
        ),
        ("Where was {s} formed?", "The Sisters of Quill", None),
        ("When was {s} released?", '"The Bells"', 'When was "The Bells" released?'),
    ],
)
def test_fill(wording: str, named: str, text: str | None) -> None:
    assert fill(wording, named) == text


@pytest.mark.parametrize(
    ("text", "phrase", "there"),
    [
        ("What is the capital of New York?", "new york", True),
        ("Is Turin in Italy?", "Ur", False),
        ("Founded in 1990–91?", "1990", True),
        ("Who made “Café-Noir”?", "café noir", True),
    ],
)
def test_holds_whole_words(text: str, phrase: str, there: bool) -> None:
    assert holds(text, phrase) is there


def test_personas_keep_the_question() -> None:
    question = "Where was Ada Quill born?"
    styles = {persona(question, choice) for choice in range(100)}
    assert len(styles) == 12
    assert all(question[1:] in style for style in styles)


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("human", "person"),
        ("commune of France", "place"),
        ("studio album", "work"),
        ("public university", "org"),
        ("football club", "org"),
        ("genus", "taxon"),
        ("idea", "any"),
        ("Academy Award", "award"),
    ],
)
def test_class_of_kind(kind: str, cls: str) -> None:
    assert class_of_kind(kind) == cls


@pytest.mark.parametrize(
    ("label", "cls", "named"),
    [
        ("Ecumenical Patriarchate of Arvenia", "org", "the Ecumenical Patriarchate of Arvenia"),
        ("Grenby Empire Building crash", "event", "the Grenby Empire Building crash"),
        ("German destroyer Z9 Marlow", "any", "the German destroyer Z9 Marlow"),
        ("1970 Motor Trial 500", "any", "the 1970 Motor Trial 500"),
        ("Rugby World Cup", "event", "the Rugby World Cup"),
        ("Ambla river", "place", "the Ambla river"),
        ("Quill mountains", "place", "the Quill mountains"),
        ("Twin Shaft Disaster", "event", "the Twin Shaft Disaster"),
        ("Act Against Quarrels", "any", "the Act Against Quarrels"),
        ("flag of Arvenia", "concept", "the flag of Arvenia"),
        ("Second Quill ministry (1947–1950)", "any", "the Second Quill ministry (1947–1950)"),
        ("Type 9 grenade", "product", "the Type 9 grenade"),
        ("DECA Games", "org", "DECA Games"),
    ],
)
def test_articles_found_missing_while_reading(label: str, cls: str, named: str) -> None:
    assert mention(label, cls) == named


@pytest.mark.parametrize(
    ("label", "cls", "named"),
    [
        ("Marlow Building", "place", "the Marlow Building"),
        ("Quill Bridge", "place", "the Quill Bridge"),
        ("Ada's Bridge", "any", "Ada's Bridge"),
        ("Quill's theorem", "concept", "Quill's theorem"),
        ("Marlow–Quill theorem", "concept", "the Marlow–Quill theorem"),
        ("second cabinet of Ada Quill", "any", "the second cabinet of Ada Quill"),
        ("Second cabinet of Ada Quill", "any", "the Second cabinet of Ada Quill"),
        ("mayor of Grenby", "office", "the mayor of Grenby"),
        ("canton of Grenby", "place", "the canton of Grenby"),
        ("rowing at the 1998 Grenby Games", "any", "rowing at the 1998 Grenby Games"),
        ("Quill P.7", "model", "the Quill P.7"),
        ("Marlow-class frigate", "any", "the Marlow-class frigate"),
        ("HMS Marlow", "model", "HMS Marlow"),
        ("Quill Antelope", "model", None),
        ("Spotted quill frog", "taxon", "the Spotted quill frog"),
        ("Lesser Quillbird", "taxon", "the Lesser Quillbird"),
        ("Quillia marlowensis", "taxon", "Quillia marlowensis"),
        ("wheat", "taxon", None),
        ("Marlow Gardens", "place", None),
        ("Operation Quill", "event", "Operation Quill"),
        ("Quill Dispatch", "event", None),
        ("Who Goes There?", "any", '"Who Goes There?"'),
        ("Grand tourer", "any", '"Grand tourer"'),
    ],
)
def test_articles_by_word_and_class(label: str, cls: str, named: str | None) -> None:
    assert mention(label, cls) == named


@pytest.mark.parametrize(
    ("label", "cls", "named"),
    [
        # called after a lake, a cape or a fort
        ("Lake Quill", "place", "Lake Quill"),
        ("Lake Quill Parkway", "place", "the Lake Quill Parkway"),
        ("Cape Marlow Bridge", "any", "the Cape Marlow Bridge"),
        ("River Quill", "place", "the River Quill"),
        # heads and phrases that usage is not known of
        ("Fountain of Marlow", "place", None),
        ("Royal Castle in Grenby", "place", None),
        ("Cordillera de Quill", "place", None),
        ("Musée Quill", "place", None),
        ("Shrines and Temples of Grenby", "place", None),
        ("Confusion Hill Bridges", "any", None),
        ("Quill's Wall", "place", None),
        ("Ada Quill's 2nd cabinet", "any", None),
        ("Women's Quill Cup", "event", "the Women's Quill Cup"),
        ("Marlow International", "org", None),
        ("Second Order", "org", None),
        ("Lord of Quills", "product", None),
        ("Marlow Monument, Grenby", "place", None),
        ("Quill and Marlow Company", "org", "the Quill and Marlow Company"),
        ("C. F. Quill & Company", "org", "C. F. Quill & Company"),
        ("Marlow–Quill reaction", "any", None),
        ("Grenby railway station", "any", "Grenby railway station"),
        # what has a year in front
        ("2011 Grenby attacks", "place", "the 2011 Grenby attacks"),
        ("1999 Broadway", "place", "1999 Broadway"),
        ("1760 Quill", "any", None),
        ("21st Century Quill", "org", "21st Century Quill"),
        ("1979 in film", "any", None),
        ("2000 La Quilla", "event", None),
        ("Board of Regents of Grenby v. Quill", "any", "Board of Regents of Grenby v. Quill"),
        ("constituency for the Grenby election", "any", "the constituency for the Grenby election"),
        ("Bible", "work", "the Bible"),
    ],
)
def test_articles_since_the_second_reading(label: str, cls: str, named: str | None) -> None:
    assert mention(label, cls) == named


@pytest.mark.parametrize(
    ("label", "cls", "common"),
    [
        ("fire engine", "concept", True),
        ("Roman fort", "any", True),
        ("computer case", "product", True),
        ("Grenby railway station", "any", False),
        ("aucubin", "substance", False),
        ("slate", "work", False),
        ("Ada Quill", "any", False),
    ],
)
def test_common_nouns(label: str, cls: str, common: bool) -> None:
    assert is_common(label, cls) is common


COMMON_LABELS = (
    "zinc", "Roman fort", "Grand tourer", "Eden's bridge", "women's 100 m at the 1912 Games", "100 metres",
    "Lake Victoria", "École normale", "iPhone", "émeute", "Castle hill", "NATO", "Öland", "a", "the Alps",
    "Field of study", "athletics at the 2012 Summer Olympics", "King's quay", "x-ray", "Mount athos",
)  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("label", COMMON_LABELS)
def test_the_gate_on_common_nouns_says_what_the_wording_says(label: str, name: str) -> None:
    """The gate is SQL and the wording is Python; a statement must not pass one as what the other takes it for."""
    values = {"plain_end": PLAIN_END}
    sql = COMMON.format(**values)
    (found,) = duckdb.execute(
        f"SELECT {sql} FROM (SELECT ? AS cls) sc, (SELECT ? AS label) sn, (SELECT false AS titles) rel",
        [CODE[name], label],
    ).fetchone()
    assert found == is_common(label, name)


@pytest.mark.parametrize(
    ("label", "cls", "named"),
    [
        # where a relation says that its subjects are rivers or teams
        ("Lech", "river", "the Lech"),
        ("Quill River", "river", "the Quill River"),
        ("Quill Creek", "river", "Quill Creek"),
        ("Lake Quill", "river", "Lake Quill"),
        ("Schwarzer Quill", "river", None),
        ("Grenby Dynamos", "team", None),
        ("FC Grenby", "team", "FC Grenby"),
        ("Grenby Lions", "team", "the Grenby Lions"),
        # a town whose name is an article and a noun, and what is called after one
        ("Los Angeles", "place", "Los Angeles"),
        ("Los Angeles Lions", "org", "the Los Angeles Lions"),
        ("La Quilla Mountains", "place", None),
        ("Prince Quill Mountains", "place", "the Prince Quill Mountains"),
        ("Queen Quill of Arvenia", "person", "Queen Quill of Arvenia"),
        ("River Quill Mall", "place", "the River Quill Mall"),
        ("River Falls Mall", "place", "River Falls Mall"),
        ("Eurovision Song Contest 1987", "any", "the Eurovision Song Contest 1987"),
        # nothing tells whether these take it
        ("Marlow County Council", "org", None),
        ("Quill Order", "org", None),
        ("Spartak Quill Region", "org", None),
        ("Quill Filling Station", "place", "the Quill Filling Station"),
        ("Lunar Quill Orbiter", "product", None),
        ("Émile converter", "any", None),
        ("Quill C*-module", "any", None),
        ("quillar tumor", "disease", None),
        ("quillitis", "disease", "quillitis"),
        ("bushfires in Arvenia", "any", None),
        ("gare de Quill", "place", None),
        # many of them, without an article
        ("Quill brothers", "person", None),
        ("Quill languages", "language", None),
        # a painting, a band or a street; what is taken for a work and has no title
        ("The Little Quill", "any", None),
        ("The Little Quill", "work", '"The Little Quill"'),
        ("Quill World Tour", "work", None),
        ("Coat of arms of Arvenia", "work", None),
        ("Treaty of Grenby", "work", None),
    ],
)
def test_names_since_the_third_reading(label: str, cls: str, named: str | None) -> None:
    assert mention(label, cls) == named
