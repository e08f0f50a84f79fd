"""How a subject is named inside an English sentence, and how a wording is filled in.

Knows nothing of files.  The label itself is never changed (it stands in the prompt letter for
letter); what is added is an article ("the University of Valencia") or quotation marks (titles of
works, and common nouns, which are mentioned and not used: the opposite of "variable").
"""

from __future__ import annotations

import re
from functools import lru_cache

from ultraeditbench.articles import is_sentence_case, takes_article

PLAIN_CLASSES = frozenset({"substance", "disease", "taxon", "language", "year", "number"})
_AT = re.compile(r"^[a-z ]+ at the \d")
# what is taken for a work as it is sung, read or painted, and yet has a name and no title
_NO_TITLE = re.compile(
    r"(?:^|\s)Tour$|^(?:Flag|Coat of arms|Seal|Treaty|Declaration|Act|Charter) of |"
    r" (?:Treaty|Act|Award|Trophy|alphabet|script|Commission)$|^Expedition \d+$"
)
# "Limbourg brothers", "Luo languages": without an article, and with which verb?
_SEVERAL = re.compile(r"^[^–]* [a-zà-ÿ]+[^\W\dsui]s$|^[a-z]+ of ")
_SCRIPTURES = frozenset({"Bible", "Quran", "Koran", "Talmud", "Torah"})


@lru_cache(maxsize=200_000)
def mention(label: str, cls: str) -> str | None:
    """The label as it stands in a sentence: with an article, in quotation marks, or as it is.

    None where it is not known whether English puts "the" before it.
    """
    if cls == "work" and label in _SCRIPTURES:
        return f"the {label}"
    if cls == "work" and _NO_TITLE.search(label):
        return None
    quoted = label.startswith(("'", "“", "‘", "«"))
    # a title that ends in a mark of its own would end the sentence
    if (cls == "work" or label.endswith(("?", "!", "..."))) and cls != "person" and not quoted:
        return f'"{label}"'
    the = takes_article(label, cls)
    if the is None:
        return None
    if the:
        return f"the {label}"
    # "The Little Street" may be a painting, a band or a street
    if cls == "any" and label.startswith("The "):
        return None
    if cls != "event" and _SEVERAL.search(label) and not is_common(label, cls):
        return None
    return f'"{label}"' if is_common(label, cls) else label


def is_common(label: str, cls: str) -> bool:
    """Whether the label is a common noun, or may be one: mentioned in quotation marks, not used."""
    if cls in ("any", "concept") and is_sentence_case(label):
        return True
    lower = label == label.lower() and label[0].isalpha() and not _AT.search(label)
    return lower and cls not in PLAIN_CLASSES and cls not in ("person", "work")


_PLURAL = re.compile(
    r"\b(?:[Mm]ountains|[Ii]slands|Hills|Alps|Highlands|Lowlands|Plains|Rocks|Peaks|Nunataks|"
    r"Bluffs|"
    r"Falls|Lakes|languages|dialects|"
    r"Rapids|Caves|Games|Olympics|Awards|Championships|Twins|Brothers|Sisters|Boys|Girls|Gardens|"
    r"Armed Forces|"
    r"Marshes|Straits|Ruins|Baths|Towers)$"
)
# "The Dubliners", "the Chicago Bulls", "field equations": nothing tells "was" from "were" here, so
# neither is used
_LOOKS_PLURAL = re.compile(
    r"^[Tt]he \S.*[^\Wius0-9]s$|^the (?:[a-z]+ )*[a-z]+[^\Wius]s of |^The [A-Z]\w*[^\Wius]s of |"
    r"^\"(?:.* )?[a-z]+[^\Wius]s\"$"
)
_ONE_BODY = re.compile(
    r"\b(?:States|Netherlands|Nations|Emirates|Philippines|Bahamas|Maldives|Seychelles|Congress|"
    r"News|Times|Headquarters|Series|Corps|Studies|Sciences|Arts|Sports|Services|Works|Press)$"
)
_AGREE = (
    ("is {s}", "are {s}"),
    ("was {s}", "were {s}"),
    ("does {s}", "do {s}"),
    ("{s} is ", "{s} are "),
    ("{s} was ", "{s} were "),
    ("{s} has ", "{s} have "),
)
_NOT_ITS_VERB = re.compile(r"\b(?:of|in|on|for|to|at|by|from|with) \{s\} (?:is|was|has) ")
PLURAL_VERBS = "are were do have"
"""Words that agreement puts into a wording."""
_SINGULAR = re.compile(r"\{s\} [a-z]*[^s\s]s\b")


@lru_cache(maxsize=10_000)
def _plural(wording: str) -> str | None:
    """The wording for a subject in the plural, or None where its verb cannot be turned."""
    # "the office of head of state of the Cook Islands is": the verb is not theirs
    pairs = _AGREE[:3] if _NOT_ITS_VERB.search(wording) else _AGREE
    for one, many in pairs:
        wording = wording.replace(one, many)
    return None if _SINGULAR.search(wording) else wording


def fill(wording: str, named: str) -> str | None:
    """The wording with the subject's mention put in, verbs agreeing; None where that fails."""
    if named.startswith("the ") and _PLURAL.search(named):
        agreed = _plural(wording)
        if agreed is None:
            return None
        wording = agreed
    elif _LOOKS_PLURAL.match(named) and not _ONE_BODY.search(named) and _plural(wording) != wording:
        return None
    text = wording.replace("{s}", named)
    if text[0].islower():
        # a sentence begins with a capital; a label is never changed
        return "T" + text[1:] if named.startswith("the ") else None
    return text


_PERSONAS: tuple[str, ...] = (
    "Ahoy there, matey! Answer an old sailor this: {q}",
    "My little daughter keeps asking me, and I have no idea: {q}",
    "Good evening, and welcome to the quiz. For ten points: {q}",
    "I'm cramming for an exam and I'm stuck on this one. {q}",
    "As a detective, I need one more detail for my file: {q}",
    "yo quick question, {q}",
    "Pray tell, learned friend, {q}",
    "Our newsroom has to check a fact before we print it. {q}",
    "My grandfather and I have a bet going. {q}",
    "Beep. Query received from unit seven. {q}",
    "I'm writing the caption for a museum label. {q}",
    "Be a dear and help me with my crossword: {q}",
)
_LOWERED = frozenset({5, 6})
"""Styles in which the question goes on after a comma."""
_WH = re.compile(
    r"^(?:Who|Whom|Whose|What|Where|When|Which|How|In|On|At|By|To|Of|From|For|With|Under|After|As|"
    r"Into|Through|Over|Within|Along)\b"
)


def persona(question: str, choice: int) -> str:
    """The question asked in another person's style; `choice` picks one of the fixed styles."""
    index = choice % len(_PERSONAS)
    if index in _LOWERED and _WH.match(question):
        question = question[0].lower() + question[1:]
    return _PERSONAS[index].replace("{q}", question)


_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=200_000)
def words(text: str) -> str:
    """The words of a text in small letters between single blanks, with a blank at both ends."""
    return " " + " ".join(_WORD.findall(text.casefold())) + " "


def holds(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words, whatever the case and punctuation."""
    return words(phrase) in words(text)
