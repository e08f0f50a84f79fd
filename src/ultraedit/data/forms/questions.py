"""Forms of one question and one short answer a row: zsRE, WikiBigEdit, KnowEdit, QAEdit and kin.

Prompts are kept as published (zsRE's unrelated questions begin with "nq question: "), and where the
data gives several answers or aliases the first is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from ultraedit.data.forms.base import DataForm, other_than, present, row_id
from ultraedit.data.record import Probe, Record
from ultraedit.data.row import Row, first_text

PLACEHOLDER = "<|endoftext|>"
"""Written as the old answer by data sets that do not know it."""


def one_probe(row: Row, prompt: str, answer: str, kind: str = "") -> tuple[Probe, ...]:
    """The question in column `prompt` with the answer in column `answer`; () where it is absent."""
    question = row.maybe(prompt)
    return () if question is None else (Probe(question, row.maybe(answer), kind),)


def named_probes(row: Row, path: str, leave: str = "") -> tuple[Probe, ...]:
    """All questions of an object of named lists, but for the list called `leave`."""
    return tuple(
        probe
        for kind in row.kinds(path)
        if kind != leave
        for probe in row.probes(f"{path}.{kind}", kind)
    )


def _zsre(row: Row) -> Iterator[Record]:
    yield Record(
        prompt=row.text("src"),
        target=row.text("alt"),
        id=row_id(row),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase")),
        locality=one_probe(row, "loc", "loc_ans"),
        portability=one_probe(row, "portability.New Question", "portability.New Answer", "one_hop"),
        old=row.maybe("pred"),
        line=row.line,
    )


def _knowedit(row: Row) -> Iterator[Record]:
    target = row.text("target_new")
    rephrases = present(row.maybe("rephrase_prompt"), row.maybe("rephrase"))
    if not rephrases:
        # The files without a rephrase column ask the same thing of the subject's other names.
        aliases = row.probes("portability.Subject_Aliasing")
        rephrases = tuple(alias.prompt for alias in aliases if alias.answer == target)
    old = first_text(row.at("ground_truth"), "ground_truth") if row.has("ground_truth") else None
    yield Record(
        prompt=row.text("prompt"),
        target=target,
        id=row_id(row),
        subject=row.maybe("subject"),
        rephrases=rephrases,
        locality=named_probes(row, "locality"),
        personas=tuple(probe.prompt for probe in row.probes("portability.personas")),
        portability=named_probes(row, "portability", leave="personas"),
        old=None if old == PLACEHOLDER else other_than(target, old),
        line=row.line,
    )


def _flat(row: Row) -> Iterator[Record]:
    old = row.maybe("ground_truth")
    yield Record(
        prompt=row.text("prompt"),
        target=row.text("target_new"),
        id=row_id(row, "case_id"),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase_prompt"), row.maybe("ood_rephrase")),
        locality=one_probe(row, "locality_prompt", "locality_ground_truth"),
        old=None if old == PLACEHOLDER else old,
        line=row.line,
    )


def _wikibigedit_hub(row: Row) -> Iterator[Record]:
    personas = [str(name) for name in row.data if str(name).startswith("personas")]
    yield Record(
        prompt=row.text("update"),
        target=row.text("ans"),
        id=row_id(row),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase")),
        locality=one_probe(row, "loc", "loc_ans"),
        personas=present(*map(row.maybe, personas)),
        portability=one_probe(row, "mhop", "mhop_ans", "mhop"),
        line=row.line,
    )


def _ultraeditbench(row: Row) -> Iterator[Record]:
    # `ultraedit build` writes the published columns and more; its `loc` is the first of `locality`
    yield Record(
        prompt=row.text("prompt"),
        target=row.text("ans"),
        id=row_id(row, "id"),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase_prompt")) + row.texts("rephrases"),
        locality=row.probes("locality", answer="answer") or one_probe(row, "loc", "loc_ans"),
        personas=row.texts("personas"),
        portability=row.probes("portability", answer="answer"),
        old=row.maybe("old"),
        line=row.line,
    )


def _qaedit(row: Row) -> Iterator[Record]:
    yield Record(
        prompt=row.text("prompt"),
        target=row.text("target"),
        id=row_id(row),  # the published ids repeat
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase")),
        locality=row.probes("locality", prompt="loc", answer="loc_ans"),
        line=row.line,
    )


def _counterfact_qna(row: Row) -> Iterator[Record]:
    yield Record(
        prompt=row.text("question"),
        target=row.text("answer"),
        id=row_id(row, "case_index"),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("qna_question")),
        line=row.line,
    )


def _hallueditbench(row: Row) -> Iterator[Record]:
    subject = row.maybe("subject")
    hops = (f"{n}hop" for n in range(2, 7))
    portability = [
        probe for hop in hops for probe in one_probe(row, f"question_{hop}", f"answer_{hop}", hop)
    ]
    for column, answer in (("yes_question", "Yes"), ("no_question", "No")):
        question = row.maybe(column)
        if question is not None:
            portability.append(Probe(question, answer, column))
    reversed_question = row.maybe("reversed_relation_question")
    if reversed_question is not None:
        portability.append(Probe(reversed_question, subject, "reversed_relation_question"))
    unrelated = row.maybe("locality_question")
    # The wrong answer of the one model the file was made with.
    outputs = [str(name) for name in row.data if str(name).startswith("output_")]
    yield Record(
        prompt=row.text("question"),
        target=row.text("object"),
        id=row_id(row),
        subject=subject,
        rephrases=present(row.maybe("paraphrased_question")),
        locality=() if unrelated is None else (Probe(unrelated, None, "locality_question"),),
        portability=tuple(portability),
        old=row.maybe(outputs[0]) if len(outputs) == 1 else None,
        line=row.line,
    )


def _kgconv(row: Row) -> Iterator[Record]:
    questions = row.texts("out-of-context questions")
    yield Record(
        prompt=questions[0] if questions else row.text("out-of-context questions"),
        target=row.text("answer"),
        id=row_id(row),
        rephrases=questions[1:],
        line=row.line,
    )


_FLAT_COLUMNS = (
    ("prompt", "prompt"),
    ("target_new", "target"),
    ("case_id", "id"),
    ("subject", "subject"),
    ("rephrase_prompt", "rephrases"),
    ("ood_rephrase", "rephrases"),
    ("locality_prompt", "locality"),
    ("locality_ground_truth", "locality"),
    ("ground_truth", "old"),
)
_KNOWEDIT_COLUMNS = (
    ("prompt", "prompt"),
    ("target_new", "target"),
    ("subject", "subject"),
    ("rephrase_prompt", "rephrases"),
    ("rephrase", "rephrases"),
    ("portability.Subject_Aliasing", "rephrases where there is no rephrase column, portability"),
    ("locality.*", "locality"),
    ("portability.personas", "personas"),
    ("portability.*", "portability"),
    ("ground_truth", "old"),
)

ZSRE = DataForm(
    "zsre",
    "zsRE as published with MEND",
    ("src", "alt"),
    (
        ("src", "prompt"),
        ("alt", "target"),
        ("subject", "subject"),
        ("rephrase", "rephrases"),
        ("loc", "locality"),
        ("loc_ans", "locality"),
        ("portability.New Question", "portability"),
        ("portability.New Answer", "portability"),
        ("pred", "old"),
    ),
    _zsre,
)
WIKIBIGEDIT_HUB = DataForm(
    "wikibigedit-hub",
    "WikiBigEdit as published on the hub",
    ("update", "ans"),
    (
        ("update", "prompt"),
        ("ans", "target"),
        ("subject", "subject"),
        ("rephrase", "rephrases"),
        ("loc", "locality"),
        ("loc_ans", "locality"),
        ("personas*", "personas"),
        ("mhop", "portability"),
        ("mhop_ans", "portability"),
    ),
    _wikibigedit_hub,
)
ULTRAEDITBENCH = DataForm(
    "ultraeditbench",
    "UltraEditBench as published, and as `ultraedit build` writes it",
    ("prompt", "ans"),
    (
        ("prompt", "prompt"),
        ("ans", "target"),
        ("subject", "subject"),
        ("rephrase_prompt", "rephrases"),
        ("loc", "locality"),
        ("loc_ans", "locality"),
        ("id", "id"),
        ("rephrases", "rephrases"),
        ("locality", "locality"),
        ("personas", "personas"),
        ("portability", "portability"),
        ("old", "old"),
    ),
    _ultraeditbench,
)
WIKIBIGEDIT_REQUESTS = DataForm(
    "wikibigedit-requests",
    "WikiBigEdit as the requests of an editing run (personas, multi-hop)",
    ("prompt", "target_new", "portability.personas"),
    _KNOWEDIT_COLUMNS,
    _knowedit,
)
KNOWEDIT = DataForm(
    "knowedit",
    "KnowEdit: wiki_recent, wiki_counterfact and its zsRE",
    ("prompt", "target_new", "locality"),
    _KNOWEDIT_COLUMNS,
    _knowedit,
)
WISE_TEMPORAL = DataForm(
    "wise-temporal",
    "WISE temporal: a paragraph a subject",
    ("prompt", "target_new", "ood_rephrase"),
    _FLAT_COLUMNS,
    _flat,
)
COUNTERFACT = DataForm(
    "counterfact",
    "CounterFact as a flat table",
    ("prompt", "target_new", "ground_truth", "rephrase_prompt"),
    _FLAT_COLUMNS,
    _flat,
)
WIKIBIGEDIT = DataForm(
    "wikibigedit",
    "WikiBigEdit as a flat table",
    ("prompt", "target_new", "rephrase_prompt"),
    _FLAT_COLUMNS,
    _flat,
)
FLAT = DataForm(
    "flat",
    "WISE hallucination, and any other table of prompt and target_new",
    ("prompt", "target_new"),
    _FLAT_COLUMNS,
    _flat,
)
QAEDIT = DataForm(
    "qaedit",
    "QAEdit",
    ("prompt", "target", "locality[].loc"),
    (
        ("prompt", "prompt"),
        ("target", "target"),
        ("subject", "subject"),
        ("rephrase", "rephrases"),
        ("locality", "locality"),
    ),
    _qaedit,
)
COUNTERFACT_QNA = DataForm(
    "counterfact-qna",
    "CounterFact with each cloze also as a question",
    ("question", "answer", "qna_question"),
    (
        ("question", "prompt"),
        ("answer", "target"),
        ("case_index", "id"),
        ("subject", "subject"),
        ("qna_question", "rephrases"),
    ),
    _counterfact_qna,
)
HALLUEDITBENCH = DataForm(
    "hallueditbench",
    "HalluEditBench",
    ("question", "object", "paraphrased_question"),
    (
        ("question", "prompt"),
        ("object", "target"),
        ("subject", "subject"),
        ("paraphrased_question", "rephrases"),
        ("locality_question", "locality"),
        ("question_*hop", "portability"),
        ("answer_*hop", "portability"),
        ("yes_question", "portability"),
        ("no_question", "portability"),
        ("reversed_relation_question", "portability"),
        ("output_*", "old"),
    ),
    _hallueditbench,
)
KGCONV = DataForm(
    "kgconv",
    "KGConv: true facts asked in many ways",
    ("out-of-context questions", "answer", "triple"),
    (
        ("out-of-context questions", "prompt, rephrases"),
        ("answer", "target"),
    ),
    _kgconv,
)
