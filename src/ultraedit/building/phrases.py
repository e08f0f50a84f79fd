"""How a subject is named inside an English sentence, and how a wording is filled in.

Knows nothing of files.  The label itself is never changed (it stands in the prompt letter for
letter); what is added is an article ("the University of Valencia") or quotation marks (titles of
works, and common nouns, which are mentioned and not used: the opposite of "variable").
"""

from __future__ import annotations

import re
from functools import lru_cache

_ARTICLE = re.compile(r"^(?:the|a|an|la|le|les|el|los|las|il|lo|gli|der|die|das|l')[\s']", re.I)
_YEAR_FIRST = re.compile(r"^(?:(?:1[5-9]|20)\d\d(?:[–/-]\d{2,4})?|\d+(?:st|nd|rd|th)) ")

_THE = frozenset(
    re.split(
        r"\s*\|\s*",
        """netherlands|philippines|bahamas|gambia|maldives|seychelles|comoros|levant|balkans|caribbean|
        united states|united states of america|united kingdom|united arab emirates|united nations|
        czech republic|dominican republic|central african republic|soviet union|european union|
        democratic republic of the congo|republic of the congo|republic of ireland|
        russian federation|
        marshall islands|solomon islands|cayman islands|faroe islands|falkland islands|cook islands|
        federated states of micronesia|isle of man|palestinian territories|ussr|usa|uk|
        sahara|arctic|
        antarctic|alps|andes|pyrenees|himalayas|rhine|danube|thames|seine|nile|ganges|bronx|hague|
        kremlin|pentagon|louvre|internet|bible|quran|koran|talmud|holocaust|
        renaissance|middle ages""",
    )
)
# "<head> of ..." takes the article: the University of Valencia, the Battle of Hastings
_HEAD_OF = re.compile(
    r"^(?:[\w'’.-]+ ){0,5}(?:Universit(?:y|ies)|Kingdom|Republic|Duchy|Grand Duchy|Principality|"
    r"County Palatine|"
    r"Battle|Siege|Treaty|Church|Cathedral|Basilica|Diocese|Archdiocese|Eparchy|Academy|Theatre|"
    r"Theater|Museum|"
    r"Ministry|Department|Province|Federation|Confederation|Isle|Bay|Gulf|Strait|Bank|House|Order|"
    r"Institute|School|College|Council|Convention|Government|Governor|Lieutenant Governor|Mayor|"
    r"President|Vice President|Prime Minister|Minister|Secretary|Secretary General|Chancellor|"
    r"King|Queen|Emperor|Prince|Princess|Duke|Duchess|Earl|Count|Countess|Baron|Bishop|Archbishop|"
    r"Patriarch|Patriarchate|Speaker|Leader|Director|Chief|Commander|Attorney General|"
    r"Surgeon General|"
    r"Treasurer|Ambassador|Premier|Lord Mayor|Head|Chairman|Union|League|Association|Society|"
    r"Office|"
    r"Court|Supreme Court|Parliament|Senate|Assembly|National Assembly|Constitution|Declaration|"
    r"Faculty|Library|Palace|Castle|Tower|Temple|Monastery|Abbey|Arch|Port|City|Municipality|"
    r"Roman Catholic Diocese|Roman Catholic Archdiocese|Bank|Army|Party|Alliance|Front|Museum|"
    r"Region|District|Canton|State|Commonwealth|Empire|Sultanate|Emirate|Khanate|Colony|"
    r"Tour|Grand Prix|Festival|Congress|Synod|Conference|Communist Party|Socialist Party|flag|"
    r"coat of arms|history|Monarch|Temple|Shrine|Tomb|Statue|Massacre|Conquest|Invasion|"
    r"Partition|Occupation|Convention|Capture|Fall|Sack|Peace|Act|Knights|Sisters|Brothers|"
    r"Feast|Baptism|Adoration|Triumph|Death|Martyrdom|Holders?|Sea|Cape|Center|Centre|Board|Bureau|"
    r"Communauté|Company|Legion|Medal|National Bank|National Library|National Museum|Archive|"
    r"National Academy|First Lady|Representative|Special Representative) (?:of|for|on)\b"
)
_PEOPLE_OF = re.compile(
    r"^(?:Prince|Princess|King|Queen|Count|Countess|Duke|Duchess|Earl|Baron|Lord) [A-Z]"
)
# "... <tail>" takes the article; tails whose usage varies (Bridge, Bank, Line) are not here
_TAIL = re.compile(
    r"\b(?:Empire|[Ii]slands|[Mm]ountains|Hills|Range|[Rr]iver|mine|Cup|Sea|Ocean|Canal|Desert|"
    r"Peninsula|Republic|"
    r"Union|Confederation|Federation|dynasty|Dynasty|Kingdom|Caliphate|Sultanate|Khanate|"
    r"Army|Navy|Air Force|Armed Forces|Coast Guard|Marine Corps|Museum|Prize|Award|Awards|"
    r"Medal|Trophy|Championships?|Tournament|elections?|referendum|Olympics|"
    r"Commission|Committee|Association|Society|Foundation|Institute|Orchestra|"
    r"Philharmonic|Authority|Agency|Ministry|Council|Alliance|Party|Convention|Conference|"
    r"Congress|Festival|Grand Prix|Parliament|Government|Plateau|Plain|Plains|Basin|"
    r"Archipelago|Strait|Gulf|Isthmus|War|Wars|Revolution|Rebellion|Uprising|Campaign|"
    r"Massacre|Disaster|Bombing|Bombings|Riots|Earthquake|Attack|Attacks|Expedition|Crusade|"
    r"Treaty|Renaissance|Highlands|Lowlands|Steppe|"
    r"Observatory|"
    r"Railway|Railroad|Police|family|people|Cabinet|Formation|Movement|bill|Stock Exchange|"
    r"Consortium|Institution|Division|Regiment|Brigade|"
    r"Battalion|Corps|Legion|Conservatory|Department|Bureau|Administration)$"
)
_EMBLEM = re.compile(r"^(?:flag|coat of arms|seal|history|economy|geography) of [A-Z]")
_BRACKETS = re.compile(r" \([^()]*\)$")
# names that end in a common noun or have one before the name proper: the Type 91 grenade
_SHIP = re.compile(
    r"^Type \d+ [a-z]|\b(?:destroyer|cruiser|submarine|frigate|corvette|battleship|gunboat|"
    r"minesweeper|"
    r"torpedo boat) \S"
)
# "... <tail>" in small letters, of things that happen: the Empire State Building crash
_HAPPENING = re.compile(
    r" (?:crash|disaster|accident|attacks?|bombings?|shootings?|riots?|earthquake|hurricane|"
    r"eruption|fire|flood|"
    r"famine|coup|protests?|strike|scandal|affair|murders?|trials?|inauguration|season|"
    r"qualification|qualifiers|"
    r"final|tour|expedition|mission|campaign|offensive|uprising|rebellion|revolt|crisis|conflict|"
    r"ministry|cabinet)$"
)
_TEAM = re.compile(
    r"\b(?:team|season|side|Tigers|Lions|Bears|Eagles|Falcons|Hawks|Bulldogs|Wildcats|Rangers|"
    r"Giants|Yankees|Dodgers|Red Sox|White Sox|Cubs|Braves|Cardinals|Indians|Pirates|Raiders|"
    r"Cowboys|Broncos|Panthers|Jaguars|Dolphins|Vikings|Saints|Bulls|Bucks|Celtics|Lakers|"
    r"Warriors|Knicks|Nets|Pistons|Pacers|Rockets|Spurs|Kings|Sharks|Ducks|Flyers|Penguins|"
    r"Capitals|Bruins|Canucks|Oilers|Flames|Maple Leafs|Canadiens|Sabres|Senators|Blackhawks|"
    r"Red Wings|Blues|Predators|Stars|Rockies|Padres|Angels|Mariners|Astros|Royals|Twins|"
    r"Brewers|Reds|Phillies|Mets|Orioles|Nationals|Marlins|Seminoles|Gators|Volunteers|Badgers|"
    r"Buckeyes|Wolverines|Spartans|Hoosiers|Huskies|Trojans|Longhorns|Aggies|Sooners|Razorbacks|"
    r"Rebels|Commodores|Gamecocks|Hokies|Cavaliers|Terrapins|Mountaineers|Orioles|Highlanders|"
    r"Bearcats|Musketeers|Zips|Rockets|Bobcats|Cardinals|Owls|Rams|Lakers|Crusaders|Minutewomen|"
    r"Minutemen|Knights|Titans|Colts|Texans|Ravens|Steelers|Bengals|Browns|Packers|Chargers|Chiefs|"
    r"Redskins|49ers|Seahawks|Buccaneers|Jets|Patriots|Islanders|Devils|Hurricanes|Lightning|Wild)$"
)
_ACT = re.compile(r"\bAct(?:,? \d{4})?$|^Act |\bConstitution$|\bAct \(")
_PLAIN_CLASSES = frozenset({"substance", "disease", "taxon", "language", "year", "number"})


def needs_article(label: str, cls: str) -> bool:
    """Whether English puts "the" before this proper name: a rule of thumb over its words."""
    if _ARTICLE.match(label) or cls in ("person", "work", "taxon", "year", "number", "language"):
        return False
    if label.casefold() in _THE:
        return True
    if _EMBLEM.search(label):
        return True
    if not label[0].isupper() and not label[0].isdigit():
        return False
    label = _BRACKETS.sub("", label)
    if _PEOPLE_OF.match(label):
        return False
    if _HEAD_OF.match(label) or _TEAM.search(label) or (_ACT.search(label) and " " in label):
        return True
    if cls in ("event", "any", "org") and _YEAR_FIRST.match(label) and " " in label:
        return True
    if _SHIP.search(label):
        return True
    if cls in ("event", "any") and (label.endswith(" Games") or _HAPPENING.search(label)):
        return True
    if cls == "office" and " " in label:
        return True
    if cls == "award" and re.search(
        r"\b(?:Award|Prize|Medal|Order|Trophy|Cup|Cross|Star)\b", label
    ):
        return True
    return " " in label and bool(_TAIL.search(label))


@lru_cache(maxsize=200_000)
def mention(label: str, cls: str) -> str:
    """The label as it stands in a sentence: with an article, in quotation marks, or as it is."""
    if cls == "work" and not label.startswith(("'", "“", "‘", "«")):
        return f'"{label}"'
    if needs_article(label, cls):
        return f"the {label}"
    if (
        cls not in _PLAIN_CLASSES
        and cls != "person"
        and label == label.lower()
        and label[0].isalpha()
    ):
        return f'"{label}"'
    return label


_PLURAL = re.compile(
    r"\b(?:[Mm]ountains|[Ii]slands|Hills|Alps|Highlands|Lowlands|Plains|Rocks|Peaks|Nunataks|"
    r"Bluffs|"
    r"Falls|Lakes|"
    r"Rapids|Caves|Games|Olympics|Awards|Championships|Twins|Brothers|Sisters|Boys|Girls|Gardens|"
    r"Armed Forces|"
    r"Marshes|Straits|Ruins|Baths|Towers)$"
)
_AGREE = (
    ("is {s}", "are {s}"),
    ("was {s}", "were {s}"),
    ("does {s}", "do {s}"),
    ("{s} is ", "{s} are "),
    ("{s} was ", "{s} were "),
    ("{s} has ", "{s} have "),
)
PLURAL_VERBS = "are were do have"
"""Words that agreement puts into a wording."""
_SINGULAR = re.compile(r"\{s\} [a-z]*[^s\s]s\b")


@lru_cache(maxsize=10_000)
def _plural(wording: str) -> str | None:
    """The wording for a subject in the plural, or None where its verb cannot be turned."""
    for one, many in _AGREE:
        wording = wording.replace(one, many)
    return None if _SINGULAR.search(wording) else wording


def fill(wording: str, named: str) -> str | None:
    """The wording with the subject's mention put in, verbs agreeing; None where that fails."""
    if named.startswith("the ") and _PLURAL.search(named):
        agreed = _plural(wording)
        if agreed is None:
            return None
        wording = agreed
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
