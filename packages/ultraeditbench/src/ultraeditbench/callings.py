"""Whether names of rivers and of teams take an article, where a relation says that they are such.

Knows nothing of other names: what the general rule says of a name is handed in.
"""

from __future__ import annotations

import re

# waters that go without the article, and what else a river may flow through
_BARE_WATER = re.compile(
    r" (?:Creek|Brook|Burn|Beck|Run|Fork|Branch|Kill|Bay|Lagoon|Lake|Dam|Reservoir|Sound|Harbour|"
    r"Harbor|Pond|Inlet|Loch)$|^(?:Lake|Loch|Lough|Lago|Lac) "
)
TEAM = re.compile(
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
    r"Redskins|49ers|Seahawks|Buccaneers|Jets|Patriots|76ers|Timberwolves|Grizzlies|Raptors|Hornets|"
    r"Pelicans|Suns|Clippers|Mavericks|Trail Blazers|Islanders|Devils|Hurricanes|Lightning|Wild)$"
)
"""Names of teams whose players are called so."""
DESCRIBED = re.compile(
    r" (?:Orbiter|Probes?|Explorer|Satellite|Repository|Specification|Toolkit|Format|Kit|Daemon|"
    r"Representation|Environment|Executive|Questionnaire|Parser|Library|Intrinsics|Blocks|Disc|"
    r"Processor|Module|Payload|Control|Launcher|Reactor|Protocol|Option|Machine|Engine|Database|"
    r"Algorithm|Mark|Grant|Beds|Floodplain|Grasslands|Athenaeum|Chamber|Section|Council)$"
)
"""Names that say what the thing is: "the Lunar Orbiter", but "Unreal Engine"."""
# "Denver Zephyrs": the players' name in the plural
_PLAYERS = re.compile(r"(?:^| )\S*[^\W\dsiu]s$")


def river_takes_article(label: str, usual: bool | None) -> bool | None:
    """A name of one word takes it ("the Lech"); of others, only those of a known kind are sure."""
    if usual is not False or _BARE_WATER.search(label):
        return usual
    return None if " " in label else True


def team_takes_article(label: str, usual: bool | None) -> bool | None:
    """A club goes without it, and players in the plural with it; which of the two "Young Boys" is,
    the name does not tell."""
    return None if usual is False and _PLAYERS.search(label) else usual
