"""Whether English puts "the" before a name: a rule of thumb over its words and its class.

Knows nothing of sentences.  Where neither the name nor its class tells, the answer is None, and the
name is not asked about: an article that is missing or one too many is what readers stumble over.
"""

from __future__ import annotations

import re

from ultraeditbench.callings import DESCRIBED, TEAM, river_takes_article, team_takes_article
from ultraeditbench.taxa import taxon_takes_article

_ARTICLE = re.compile(
    r"^(?!(?:Los Angeles|Las Vegas|El Paso|Los Alamos) )"
    r"(?:the|a|an|la|le|les|el|los|las|il|lo|gli|der|die|das|l')[\s']",
    re.I,
)
# "the La Garita Mountains", or without
_FOREIGN_ARTICLE = re.compile(r"^(?:La|Le|Les|El|Los|Las|Il|LA) ")
_YEAR_FIRST = re.compile(r"^(?:(?:1[5-9]|20)\d\d(?:[–/-]\d{2,4})?|\d+(?:st|nd|rd|th)) ")

_THE = frozenset(
    re.split(
        r"\s*\|\s*",
        """holy see|alhambra|gestapo|
        netherlands|maghreb|gobi|vatican|punjab|orinoco|mekong|volga|congo|tigris|euphrates|
        rhône|loire|elbe|oder|vistula|dnieper|ebro|tagus|zambezi|urals|caucasus|apennines|
        carpathians|dolomites|hebrides|azores|ozarks|rockies|philippines|bahamas|gambia|maldives|seychelles|comoros|levant|balkans|caribbean|
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
    r"government|cabinet|arrondissement|canton|invasion|conquest|occupation|assassination|murder|"
    r"wedding|siege|bombing|statue|church|cathedral|constituency|diocese|dynasty|kingdom|trial|"
    r"kidnapping|funeral|coronation|Hall|"
    r"(?:High )?Commissioner|Inspector|Envoy|Consul|Consulate|Consulate General|Legation|"
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
    r"Cabinet|Commission|Committee|Movement|Embassy|High Commission|Arrondissement|Sanjak|Borough|"
    r"County Borough|Shire|County|Vicariate|Ordinariate|Archeparchy|Exarchate|Administration|"
    r"Community|Agency|Corporation|Organi[sz]ation|Mosque|Pyramid|Mausoleum|Walls|Bust|Charter|"
    r"Code|Bombing|Bombardment|Raid|Assault|Liberation|Relief|Blockade|Evacuation|Storming|"
    r"Destruction|Burning|Attack|Division|Conservatory|Seminary|Convent|Hermitage|Lordship|"
    r"Margraviate|Landgraviate|Bishopric|Prince-Bishopric|Archbishopric|Electorate|Free City|"
    r"Imperial City|Crown|Captaincy General|Captaincy|Viceroyalty|Protectorate|Mandate|Territory|"
    r"Riding|Chapel|Hospital|Chamber|Directorate-General|Directorate|Service|Secretariat|Railroad|"
    r"Dynasty|Championships?|Games|Awards?|Prize|Campaign|Exchange|Fund|Foundation|Network|"
    r"Garden|Gardens|Gate|Fort|Forest|Valley|Lakes?|Mines?|Guild|Confederacy|Voivodeship|Pact|"
    r"Edict|Protocol|Accords?|Agreement|Tomb|Book|Trial|Murder|Assassination|Mayors?|Dean|Abbot|"
    r"Rector|Master|Lord|Margrave|Landgrave|Elector|Marquess|Viscount|Kings|Queens|List|"
    r"Journal|Review|Annals|Archives?|Bulletin|Proceedings|Transactions|Bridge|"
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
    r"Building|Hotel|Theatre|Theater|Company|Corporation|Library|Memorial|Monument|"
    r"Light|Trail|Refuge|Tunnel|Viaduct|Aqueduct|Expressway|Motorway|Freeway|Parkway|Turnpike|"
    r"Highway|Coast|Mosque|Synagogue|Courthouse|Jail|Region|System|Office|Trust|Complex|Plant|"
    r"Wilderness|Valley|Alps|Peaks|Lakes|Nunataks|Bluffs|Series|series|[Cc]lass|passport|League|"
    r"Command|Fleet|Group|[Ll]ine|railway|Subdivision|Historic District|Metropolitan Area|Area|"
    r"Territory|Territories|Colony|Rally|Project|Programme|Program|Protocol|Agreement|Accords?|"
    r"Pact|Declaration|Charter|Resolution|Code|Directive|Regulations|Doctrine|Initiative|"
    r"Incident|Scandal|Plot|Dispute|Conspiracy|Riot|Crisis|Mutiny|Revolt|Insurrection|Offensive|"
    r"Famine|Epidemic|Genocide|Pogrom|Purge|Edict|Decree|Operations?|Fund|Exchange|Network|"
    r"Survey|Register|Registry|Court|Tribunal|Senate|Assembly|Legislature|Bundestag|Synod|"
    r"Patriarchate|Archdiocese|Diocese|Eparchy|Exarchate|Vicariate|Ordinariate|Governorate|"
    r"Protectorate|State Forest|National Forest|Marathon|Derby|Handicap|Stakes|Classic|"
    r"International|Internationals|Invitational|Open|Challenger|Masters|Circuit|Shield|Playoffs|"
    r"Super Bowl|Bowl|Rail|Corridor|Basilica|Sanctuary|Mint|Guild|Confederacy|Laboratory|"
    r"Telescope|Array|Experiment|Station Complex|language|languages|dialect|dialects|code|"
    r"theorem|conjecture|equation|effect|paradox|algorithm|inequality|lemma|hypothesis|principle|"
    r"postulate|formula|constant|function|transform|distribution|theory|culture|period|"
    r"gas field|oil field|Lighthouse|lighthouse|Gazette|Herald|Tribune|Chronicle|Observer|Bank|"
    r"Zoo|Front|Language|Board|Force|Preserve|Coalition|Organi[sz]ation|Massif|motorway|road|"
    r"autoroute|highway|constituency|building|script|massacre|Voivodeship|Gallery|Depot|"
    r"Hall of Fame|Armory|Armoury|"
    r"Path|Footpath|Walkway|Bypass|"
    r"Treaty|Renaissance|Highlands|Lowlands|Steppe|"
    r"Observatory|(?:Filling|Gas|Fire|Power|Pumping|Police) Station|"
    r"Railway|Railroad|Police|family|people|Cabinet|Formation|Movement|bill|Stock Exchange|"
    r"Consortium|Institution|Division|Regiment|Brigade|"
    r"Battalion|Guards|Rifles|Fusiliers|Dragoons|Hussars|Infantry|Artillery|Isles|"
    r"Corps|Legion|Conservatory|Department|Bureau|Administration)$"
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
    r" (?:invasion|conquest|occupation|break|jailbreak|heist|robbery|hijacking|ambush|"
    r"raid|incident|plot|skirmish|landings?|"
    r"derailment|collision|sinking|explosion|collapse|blackout|boycott|blockade|siege|"
    r"war|crash|disaster|accident|attacks?|bombings?|shootings?|riots?|earthquake|hurricane|"
    r"eruption|fire|flood|"
    r"famine|coup|protests?|strike|scandal|affair|murders?|trials?|inauguration|season|"
    r"qualification|qualifiers|"
    r"final|tour|expedition|mission|campaign|offensive|uprising|rebellion|revolt|crisis|conflict|"
    r"ministry|cabinet)$"
)
_ACT = re.compile(r"\bAct(?:,?(?: of)? \d{4})?$|^Act |\bConstitution$|\bAct \(")
# titles of songs, games and albums end in such words too; they need the class of an event or a body
_OPEN_TO_ALL = re.compile(
    r"\b(?:Open|Challenger|Masters|Classic|International|Circuit|Series|System|Office|Service|"
    r"Code|Project|Program|Light|Bank|Line|Group|Network|Trail|Experiment|Operation|Exchange|"
    r"Stakes|Derby|Fund|Coast|Area|Territory|Valley|Peaks|Plot|Highway|Register|Court|Bowl|Mint|"
    r"theory|effect|function|Fleet|Front|Board|Force|Language|Zoo|Gallery|Depot|road|"
    r"Pass|Mansion|Wall|Brewery|Factory|Mine|Monastery|"
    r"building|Command|Chronicle|Observer|Herald|Crisis|Survey|Shield)$"
)
_SCHOLARLY = re.compile(
    r"(?:'s|s') (?:\w+ ){0,3}(?:theorem|law|conjecture|equation|effect|paradox|algorithm|"
    r"inequality|lemma|hypothesis|principle|postulate|formula|constant|function|theory|"
    r"[Bb]ridge|Island|disease|syndrome|[Ll]ine|Light|Lighthouse|Valley|Company|Hotel|Theatre|"
    r"Bank|Group|Court|Code|Classic|Stakes)$"
)
_DOUBTFUL = re.compile(
    r" (?:Academy|Center|Centre|Gardens?|Battery|Gate|Prison|Club|Challenge|Reserve|Reservoir|"
    r"Tour|Fire|March|Service|Services|Forum|Facility|Tavern|Inn|Mill|Ranch|Plantation|Village|"
    r"Ferry|Express|Limited Express|Fair|Fountain|Column|Obelisk|Mausoleum|Collection|Base|"
    r"Command Post|Band|Quartet|Trio|Ensemble|Choir|Fort|Fortress|Mission|Seminary|Dam Site|"
    r"Branch|Terminal|Junction Railway Line|Show|Report|Reports|Manuscript|Codex|Papyrus|Stele|"
    r"Stone|Cross|Tomb|Pyramid|Statue|Bust|Altarpiece|Triptych|Polyptych|Virgin|Madonna|"
    r"Conquest|wars|mafia|gang|tribe|clan|School of [A-Z]\w+|Band Stand|Site|Ruins|Cave|Spit|Bar|"
    r"Bight|Sound|Fjord|Delta|Watershed|Aquifer|Fault|Belt|Arch|Rift|Trench|Ridge|Shelf|Trough|"
    r"Diocese of .*|Book Fair|Expo|Exhibition|Exposition|Summit|Weekend|Carnival|Parade|Pageant|"
    r"House|Palace|Block|Order|Carousel|Aquarium|Archive|Certificate|Connector|Anthem|Arboretum|Orogeny|Beltway|"
    r"Commonwealth|Community|Capitol|Lookout|Eyalet|Vilayet|Tatras|Carpathians|Autobahn|Atlas|Index|"
    r"Birthplace|Lift|Cutting|Store|Unit|Dwarf|Zone|Landscape|Wetlands|Cirque|Hub|Okrug|Home|Train|"
    r"Tower|Pit|Mound|Barrow|S-Bahn|U-Bahn|Metro|Subway|Tramway|Monorail|Loop|Rotunda|Pavilion|"
    r"Dome|Planetarium|Arsenal|Shipyard|Market|Pier|Quarter|Barn|Gatehouse|Grotto|Crypt|"
    r"Necropolis|Amphitheatre|Amphitheater|Coliseum|Bell|Hoard|Treasure|Crown|Throne|Sword|"
    r"Shroud|Diamond|Chapel|Studio|Cabin|Quarry|Nebula|Galaxy|Cluster|"
    r"Current|Barrage|Fieldhouse|Causeway|Ride|Ranges|Redoubt|Gap|Wing|Flotilla|Auditorium|"
    r"Homestead|Way|Greenway|Commissioner|Forces|Refinery|Windmill|Infirmary|"
    r"Secretariat|Directorate|Warehouse|"
    r"Playhouse|Citadel|Courts|Distillery|Reservation|Prairie|Divide|Incline|Extension|Tunnels|"
    r"Passage|Estuary|Promontory|Cone|Reef|Hut|Caravanserai|Democrats|Liberals|Conservatives|"
    r"Socialists|Republicans|Greens|Canadians|Maroons|Bombers|Defenders|Affair|Olympics|"
    r"Farmhouse|Footbridge|Arch(?:a)?eological District|Route|Lion|Day|Northwest|"
    r"Southwest|Northeast|Southeast|Midwest|Riviera|Outback|"
    r"Triangle|Caldera|Crater|Canyon|Gorge|Escarpment|Lowland|Upland|Highland|Moor|Heath|Marsh|"
    r"Swamp|Bog|Fen)$"
)
_NO_ARTICLE = re.compile(
    r"^(?:Operation|Miss|Mister|Mr|UFC|WrestleMania|Flight|Team|Task Force|Project|"
    r"Air|Radio|Big Brother|A Fazenda|Pride|Bellator|"
    r"WrestleMania|No Mercy|Survivor|Dancing|Eurovision)\b|"
    r"\b(?:Flight(?: \w+)?|F\.?C\.?|A\.?F\.?C\.?|Inc\.|Ltd\.?|PLC|plc|AG|GmbH|S\.?A\.?|Bill|"
    r"Football Club|\d{4}|[IVX]+)$| v\.? |Flight \w*\d| vs?\.? "
)
# the lake and the fort take none, the road and the museum called after them do
_NAMED_AFTER = re.compile(r"^(?:Mount|Lake|Cape|Fort|Camp|Point|Saint|St\.?) ")
# "the Women's World Cup", but "King's Theatre" or "the King's Theatre"
_OWNED = re.compile(r"(?:'s|s'|’s|s’) ")
_OF_ALL = re.compile(r"\b(?:Women|Men|People|Children|Boys|Girls|Workers|Ladies)(?:['’]s?) ")
# bodies named by such words go with the article or without it, each as it calls itself
_BODY = re.compile(
    r" (?:International|Group|Trust|Bank|Exchange|Network|System|Project|Fund|Series|Line|Service|"
    r"Region|Coast|Valley|Area|Territory|"
    r"Program|Programme|Council|Charter|Rail|Open|Classic|Masters|Experiment|Light|Complex|Plant)$"
)
# "Roscommon County Council", but "the Los Angeles City Council"
_COUNCIL = re.compile(r" (?:City|County|Borough|Town|District|Regional|Municipal|Shire) Council$")
# "Fountain of Arethusa", "Royal Castle in Warsaw": a head that is not in the list above, or a
# phrase and no name
_PHRASE = re.compile(r"^[A-Z]\S*(?: \S+)* (?:of|in|at|for|on|from|with|to) (?:the )?[A-Z\d]")
_ORDINAL = re.compile(
    r"^(?:First|Second|Third|Fourth|Fifth|Sixth|Seventh|Eighth|Ninth|Tenth|New|Great|Grand|Old|"
    r"Royal|Imperial|National|Supreme|High) "
)
# "Cordillera Real", "Musée Rodin": the language's own usage, or the English one
_FOREIGN_HEAD = re.compile(
    r"^(?:Cordillera|Cordilheira|Sierra|Serra|Massif|Monts|Montes|Monti|Îles|Islas|Ilhas|Río|"
    r"Rivière|Mémorial|Monumento|Monument|Musée|Museo|Museu|Théâtre|Teatro|Teatre|Palais|Palazzo|"
    r"Palacio|Palácio|Galleria|Galerie|Biblioteca|Bibliothèque|Fondation|Fundación|Accademia|"
    r"Académie|Centro|Instituto|Institut|Église|Iglesia|Basílica|Catedral|Cathédrale|Couvent|"
    r"Banco|Banque|Réserve|Cabinet) "
)
# many of one kind: neither the article nor the verb's number is sure
_MANY = re.compile(
    r"(?:^(?!\S*ss )\S+s (?:and|of) | (?:Sanctuaries|Cones|Buttes|Ponds|Dunes|Cliffs|Crags|Pools|"
    r"Pinnacles|"
    r"Needles|Spires|Pillars|Stacks|Skerries|Reefs|Shoals|Keys|Cays|Narrows|Downs|Fens|Moors|"
    r"Woods|Meadows|Flats|Badlands|Barrens|Sites|Monuments|Churches|Temples|Tombs|Shrines|Houses|"
    r"Castles|Landscapes|Quarries|Earthworks|Terraces|Gorges|Glaciers|Ridges|Volcanoes|Mines|"
    r"Works|Walls|Locks|Docks|Stables|Cottages|Almshouses|Buildings|Apartments|Rocks|"
    r"Towers|Caves|Baths|Barracks|Stones|Gates|Steps|Forests|Parks|Bridges|Editions|Papers|"
    r"Letters|Archives|Manuscripts|Scrolls|Tablets|Telescopes|Builders|Scouts|Marines|Partisans|"
    r"Railways|Tramways|Shelters|Marshes|Centres|Centers|Places|Cases))$"
)
# "Wolffenstein–Böters reaction": a common noun behind a name takes it, save for stations and the
# like
_NOUN_END = re.compile(r"^[A-Z0-9À-Ž].* (?:[A-Z]\*?-)?[a-zà-ÿ][a-zà-ÿ-]+$")
PLAIN_END = (
    r" (?:station|stop|halt|airport|airfield|hospital|school|college|university|cathedral|church|"
    r"castle|park|stadium|square|street|avenue|cemetery|village|town|city|district|county|"
    r"municipality|parish|interchange|junction)$"
)
"""A pattern, in Python's syntax and RE2's, of names that end in a common noun and take no article."""
_PLAIN_END = re.compile(PLAIN_END)
_SHIP_PREFIX = re.compile(
    r"^(?:USS|USNS|USCGC|HMS|HMAS|HMCS|HMNZS|SS|MS|MV|MT|RMS|RV|CS|INS|PS|TS)\b"
)
_MODEL = re.compile(
    r"\d|\b(?:class|Class|series|Series|Type|Model|Mk|Mark|engine|rifle|pistol|gun|carbine|tank|"
    r"howitzer|mortar|locomotive|aircraft|helicopter|glider|missile|camera|tram|bus)\b"
)
_DESIGNATION = re.compile(r"\b(?:[Cc]lass|Type|Model) [A-Z0-9]|[a-z]-class\b")
_LOWER_OF = re.compile(r"^[a-zé-]+(?: [a-zé-]+){0,3} (?:of|for) (?:the )?[A-Z]")


# names of places alone: "Eden's Bridge" may be a band
_BUILT = re.compile(r" (?:[Bb]ridge|Pass|Mansion|Wall|Brewery|Factory|Mine|Canal|Monastery)$")


# "Grand tourer": a common noun under a capital letter, or a name; quotation marks suit both
_SENTENCE_CASE = re.compile(r"^[A-Z][a-zà-ÿ-]+(?: [a-zà-ÿ'-]+)+$")


def is_sentence_case(label: str) -> bool:
    """Whether only the first of several words has a capital and the last names no kind of place."""
    return bool(_SENTENCE_CASE.match(label)) and not _PLAIN_END.search(label)


# "a bone fracture", or "bone fracture" as the name of a disease
_ONE_OF_MANY = re.compile(
    r"(?:tumou?r|abscess|fracture|cyst|ulcer|hernia|neoplasm|injury|aneurysm|polyp|fistula|inhibitor|agonist|"
    r"antagonist|blocker|agent|vaccine|antibody|enzyme)$"
)
_CASE = re.compile(r" vs?\.? ")
# "Jeremiah Lamenting the Destruction of ...": a title, and no name
_PARTICIPLE = re.compile(r"^[A-Z]\w+ [A-Z]\w+ing the ")
# "2013 The Oaks Club Challenger", "2000 La Flèche Wallonne"
_SECOND_ARTICLE = re.compile(r" (?:The|La|Le|Les|El|Los|Las|Il|De) ")


def is_dated(label: str) -> bool:
    """Whether the name begins with a year or a number in order: the 1998 final, the 3rd congress."""
    return " " in label and _YEAR_FIRST.match(label) is not None


def _foreign(label: str, cls: str) -> bool:
    """ "gare de Bitche": a place's own word for what it is, in small letters, and its name."""
    return cls in ("place", "org") and label != label.lower()


def takes_article(label: str, cls: str) -> bool | None:
    """Whether "the" stands before this label of this class; None where that is not known."""
    if cls != "person" and _FOREIGN_ARTICLE.match(label) and _TAIL.search(label):
        return None
    if _ARTICLE.match(label) or cls in ("person", "work", "year", "number", "language"):
        return False
    if cls == "taxon":
        return taxon_takes_article(label)
    if cls == "river":
        return river_takes_article(label, takes_article(label, "place"))
    if cls == "team":
        return team_takes_article(label, takes_article(label, "org"))
    if cls in ("disease", "substance") and _ONE_OF_MANY.search(label):
        return None
    if cls in ("place", "any") and re.match(
        r"River (?!Falls|Oaks|Forest|Park|Road|City)[A-Z]|Eurovision Song Contest \d", label
    ):
        return True
    if label.casefold() in _THE or _EMBLEM.search(label) or _LOWER_OF.match(label):
        return True
    if not label[0].isupper() and not label[0].isdigit():
        return None if " in " in label or (label[0].islower() and _foreign(label, cls)) else False
    label = _BRACKETS.sub("", label)
    if (_PEOPLE_OF.match(label) and not _TAIL.search(label)) or _SHIP_PREFIX.match(label):
        return False
    if _SHIP.search(label) or _DESIGNATION.search(label):
        return True
    if cls == "model":
        # a maker's name and a word of fancy: the Sopwith Antelope, but Lightning Run
        return True if _MODEL.search(label) else None
    if " " not in label:
        return False
    if (cls == "product" or _PARTICIPLE.match(label)) and _HEAD_OF.match(label):
        return None
    if _CASE.search(label):
        return False
    # "1979 in film"; "410 sack of Rome"; "Battle of Britain Day"
    if re.match(r"\d{4}s? in |\d{3} [a-z]", label) or (
        _HEAD_OF.match(label) and label.endswith(" Day")
    ):
        return None
    if _HEAD_OF.match(label) or TEAM.search(label) or _ACT.search(label):
        return True
    if is_dated(label) and (cls in ("event", "any") or (cls == "org" and label[:4].isdigit())):
        # "1760 Sandra" is an asteroid
        unsure = _SECOND_ARTICLE.search(label) or (label.count(" ") == 1 and cls == "any")
        return None if unsure else True
    if (cls in ("event", "any") or (cls == "place" and is_dated(label))) and _HAPPENING.search(
        label
    ):
        return None if _OWNED.search(label) and not _OF_ALL.search(label) else True
    if cls == "event" and label.endswith(" Games") and " at " not in label:
        return True
    if cls == "office":
        return True
    if cls == "award":
        return (
            bool(re.search(r"\b(?:Award|Prize|Medal|Order|Trophy|Cup|Cross|Star)\b", label)) or None
        )
    if _NO_ARTICLE.search(label) or _SCHOLARLY.search(label):
        return False
    return _by_tail(label, cls)


def _bare(label: str) -> str:
    """The name without the place behind it: "Marlow Hall, Grenby"."""
    name, _, place = label.partition(", ")
    return label if " and " in place or "," in place else name


def _by_tail(label: str, cls: str) -> bool | None:
    """What the last word of a name of several words says; None where usage is divided."""
    if _PHRASE.match(label) or _FOREIGN_HEAD.match(label) or _MANY.search(label):
        return None
    if label.endswith((" & Company", " and Company")):
        return False
    bare = _bare(label)
    if _COUNCIL.search(label) or (cls in ("any", "product") and DESCRIBED.search(label)):
        return None
    tail = _TAIL.search(bare)
    if cls in ("any", "place") and _BUILT.search(label):
        tail = tail or True
    if tail:
        divided = (
            # "100 North Central Expressway" is an address
            (label[0].isdigit() and cls == "place")
            or (cls == "any" and _OPEN_TO_ALL.search(label))
            or (cls == "org" and _BODY.search(label))
            or cls == "product"
            or bare != label
            or (_OWNED.search(label) and not _OF_ALL.search(label))
        )
        return None if divided else True
    if _NAMED_AFTER.match(label):
        return False
    if cls == "any" and label.endswith(" Games"):
        return None
    if cls == "event" or _DOUBTFUL.search(bare):
        return None
    if _NOUN_END.match(label) and not _PLAIN_END.search(label):
        return False if is_sentence_case(label) and cls in ("any", "concept") else None
    if cls in ("any", "org", "thing", "product", "concept") and _ORDINAL.match(label):
        return None
    return False
