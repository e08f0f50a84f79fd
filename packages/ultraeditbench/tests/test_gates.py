"""Gates: what is not asked about, counted by its reason; and how the rest is named."""

from __future__ import annotations

from pathlib import Path

from tests_graph import TOWNS, load, make, triples, write_jsonl, write_tsv


def test_several_objects_are_not_edited_and_counted(tmp_path: Path) -> None:
    rows = [*triples(), ("Anka Marlow", "P19", "Polica"), ("Anka Marlow", "P19", "Vorica")]
    path = write_tsv(tmp_path / "g.tsv", rows)
    result = make(tmp_path / "out", path)
    assert result.counts["several objects for one subject and relation (pairs)"] == 1
    assert not [
        r for r in load(tmp_path / "out") if (r["subject"], r["relation"]) == ("Anka Marlow", "P19")
    ]


def test_each_gate_drops_its_kind(tmp_path: Path) -> None:
    bad = [
        ("Ada Quill", "P1889", "Ida Quill"),
        ("Анна", "P19", "Grenby"),
        ("Ada " + "x" * 90, "P19", "Grenby"),
        ("Ada Quill", "P106", "one who does very many things in very many places every day"),
        ("Ada Quill", "P569", "long ago"),
        ("University of Grenby", "P159", "Grenby"),
        ("town", "P17", "Arvenia"),
        ("town", "P36", "Grenby"),
        ("Anka Marlow", "P106", "carpenter"),
    ]
    result = make(tmp_path / "out", write_tsv(tmp_path / "g.tsv", [*triples(), *bad]))
    dropped = {
        name.removeprefix("dropped: "): n
        for name, n in result.counts.items()
        if name.startswith("dropped")
    }
    for gate in (
        "relation is not asked (no wording, or about sources and names)",
        "the same triple again",
        "label language (not in Latin script, or an id or address)",
        "subject length",
        "answer length",
        "answer type (no year, number or name where the relation asks for one)",
        "subject type (a common noun, or of another class than the relation is about)",
        "answer stands in the subject",
    ):
        assert dropped[gate] == 1, gate


def test_what_the_wordings_do_not_suit_is_dropped(tmp_path: Path) -> None:
    bad = [
        ("Ada Quill", "P1303", "singing"),
        ("Quill cabinet", "P6", "Anka Marlow"),
        ("computer case", "P127", "Anka Marlow"),
        ("Ministry of Health", "P127", "Arvenia"),
        ("Ministry of Health of Arvenia", "P127", "Grenland"),
        ("St James's Church", "P17", "Arvenia"),
        ("Marlow County", "P36", "Grenby"),
        ("The Silent Harbour", "P272", "Quill Works"),
        ("The Silent Harbour", "P4647", "Grenby"),
        ("Ida Umber", "P1441", "monk"),
        ("Ivo Umber", "P1441", "Monk"),
    ]
    result = make(tmp_path / "out", write_tsv(tmp_path / "g.tsv", [*triples(), *bad]))
    for gate, count in (
        ("answer that the relation's wordings do not suit", 1),
        ("subject that the relation's wordings do not suit", 1),
        ("subject is a common noun, and the relation is about things with names", 1),
        (
            "subject is an office that every country has, or a house or county of which there are many",
            3,
        ),
        ("a stage work and a film of one title", 1),
    ):
        assert result.counts[f"dropped: {gate}"] == count, gate
    # a title that is a common noun elsewhere is no certain answer
    assert not [r for r in load(tmp_path / "out") if r["relation"] == "P1441"]


def test_a_title_of_no_known_class_stands_in_quotation_marks(tmp_path: Path) -> None:
    rows = [(f"Quill and the {a}", "P577", str(1900 + n)) for n, a in enumerate(TOWNS)]
    make(tmp_path / "out", write_tsv(tmp_path / "g.tsv", [*triples(), *rows]))
    records = [r for r in load(tmp_path / "out") if r["relation"] == "P577"]
    assert records
    assert all(f'"{r["subject"]}"' in r["prompt"] for r in records)


def test_rivers_take_an_article_where_the_relation_is_about_rivers(tmp_path: Path) -> None:
    rows = [(f"{town}ach", "P403", "Grenby Sea") for town in TOWNS]
    rows += [(f"{town} Brook", "P403", "Grenby Sea") for town in TOWNS]
    rows += [(f"{town} Dynamos", "P118", "Grenby League") for town in TOWNS]
    make(tmp_path / "out", write_tsv(tmp_path / "g.tsv", [*triples(), *rows]))
    records = load(tmp_path / "out")
    asked = {r["subject"]: r["prompt"] for r in records if r["relation"] in ("P403", "P118")}
    assert asked
    for subject, prompt in asked.items():
        assert not subject.endswith("Dynamos"), prompt
        assert (f"the {subject}" in prompt) is subject.endswith("ach"), prompt


def test_what_is_nothing_known_of_is_not_asked_about_as_a_work_of_art(tmp_path: Path) -> None:
    rows = [(f"Quill of {town}", "P170", "Ada Quill") for town in TOWNS]
    make(tmp_path / "out", write_tsv(tmp_path / "g.tsv", [*triples(), *rows]))
    assert not [r for r in load(tmp_path / "out") if r["subject"].startswith("Quill of ")]


def test_a_shared_label_is_used_only_by_its_clear_owner(tmp_path: Path) -> None:
    rows = [
        {"subject_id": "Q1", "subject": "Grenby", "relation": "P1082", "object": "77"},
        {"subject_id": "Q2", "subject": "Grenby", "relation": "P1082", "object": "88"},
        {"subject_id": "Q3", "subject": "Halby", "relation": "P1082", "object": "99"},
        {"subject_id": "Q4", "subject": "Halby", "relation": "P2044", "object": "11"},
    ]
    owner = [
        {"subject_id": "Q3", "subject": "Halby", "relation": "P190", "object": f"Town{n}"}
        for n in range(12)
    ]
    plain = [{"subject": s, "relation": r, "object": o} for s, r, o in triples()]
    plain = [row for row in plain if row["subject"] not in ("Grenby", "Halby")]
    path = write_jsonl(tmp_path / "g.jsonl", [*rows, *owner, *plain])
    result = make(tmp_path / "out", path)
    assert result.counts["dropped: subject label shared by several entities"] == 3
    prompts = " ".join(r["prompt"] for r in load(tmp_path / "out"))
    assert "11" not in {r["ans"] for r in load(tmp_path / "out")}
    assert "Grenby" not in prompts
