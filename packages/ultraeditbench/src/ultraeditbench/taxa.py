"""Whether the name of a kind of living thing takes an article: Latin names do not, English ones do."""

from __future__ import annotations

import re

_LATIN_END = re.compile(
    r"(?:a|ae|us|um|is|i|os|ens|ans|ex|ix|ax|ops|es|as|color|minor|major|x|ys|"
    r"(?:al|il|ar|ens|estr|icol|iv|phor|oid)e)$"
)
_ENGLISH_TAXON = re.compile(
    r"\b(?:frog|toad|bat|rat|mouse|mice|vole|shrew|mole|squirrel|monkey|lemur|fox|"
    r"wolf|bear|cat|dog|"
    r"deer|goat|sheep|antelope|gazelle|seal|whale|dolphin|porpoise|shark|ray|skate|eel|fish|bass|"
    r"perch|snapper|goby|darter|shiner|minnow|chub|trout|salmon|char|carp|catfish|cod|tuna|sole|"
    r"snake|viper|cobra|python|boa|lizard|gecko|skink|chameleon|iguana|anole|turtle|tortoise|"
    r"terrapin|crocodile|salamander|newt|caecilian|bird|warbler|thrush|finch|sparrow|swallow|"
    r"swift|owl|eagle|hawk|falcon|kite|vulture|duck|goose|swan|gull|tern|petrel|albatross|"
    r"penguin|heron|egret|ibis|stork|crane|rail|crake|plover|sandpiper|snipe|dove|pigeon|parrot|"
    r"parakeet|lorikeet|cockatoo|cuckoo|nightjar|hummingbird|kingfisher|hornbill|barbet|"
    r"woodpecker|flycatcher|tyrant|antbird|wren|tit|nuthatch|shrike|oriole|crow|jay|magpie|"
    r"starling|bulbul|babbler|sunbird|weaver|bunting|tanager|grosbeak|pipit|lark|wagtail|robin|"
    r"butterfly|moth|skipper|hairstreak|copper|blue|swallowtail|damselfly|dragonfly|beetle|"
    r"weevil|ant|bee|wasp|fly|bug|cricket|grasshopper|spider|scorpion|crab|lobster|shrimp|"
    r"crayfish|snail|slug|mussel|clam|oyster|abalone|squid|octopus|coral|moccasinshell|"
    r"pearlymussel|oak|pine|fir|spruce|maple|willow|birch|palm|fern|orchid|lily|grass|sedge|"
    r"rush|thistle|daisy|violet|clover|fescue|virus|bass|sucker|cisco|sculpin|killifish|topminnow|"
    r"pupfish|stickleback|kokopu|wallaby|kangaroo|possum|opossum|bandicoot|dunnart|antechinus|"
    r"hare|rabbit|pika|hedgehog|tenrec|badger|otter|mongoose|civet|genet|macaque|baboon|langur|"
    r"gibbon|marmoset|tamarin|titi|saki|uakari|gerbil|jerboa|hamster|gopher|chipmunk|marmot|"
    r"porcupine|agouti|giant|dorcopsis|bowerbird|honeyeater|thornbill|white-eye|silvereye|sheartail)$",
    re.I,
)
_ADJECTIVE = re.compile(
    r"(?:[a-z](?:an|ese|ish|ern|ed|ing|less|ful)|Black|White|Red|Blue|Green|Grey|Gray|Brown|Yellow|"
    r"Golden|Giant|Dwarf|Pygmy|Common|Greater|Lesser|Great|Little|Long|Short|Large|Small|Big)$"
)


def taxon_takes_article(label: str) -> bool | None:
    """None where the name does not tell."""
    parts = label.split()
    if len(parts) == 1:
        # "wheat", "dunlin": with or without, by the kind of thing
        return None if label[0].islower() else False
    if "'s " in label or "s' " in label or "virus" in label.lower():
        return False
    if label[0].islower() or _ENGLISH_TAXON.search(label):
        return True
    if all(part[0].isupper() for part in parts if part[0].isalpha()):
        return True
    if "-" in parts[0] or _ADJECTIVE.search(parts[0]):
        return True
    return False if _LATIN_END.search(parts[-1]) else None
