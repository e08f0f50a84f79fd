"""Draws a profile as a flame graph: time from left to right, callers above what they call.

    py-spy record -r 50 -f raw -o turn.raw -- python your_stream.py
    python benchmarks/flame.py turn.raw --out docs/img/flame_turn.svg

`turn.raw` has a line a stack: frames joined by ";", then the number of samples.  Only what happens below the first
frame whose function is `--under` is drawn; frames narrower than `--least` of it, and those that only call the next, are
left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib import pyplot
from matplotlib.patches import Rectangle

OWN, OTHER = "#e8743b", "#9db7d5"
WRAPPERS = (
    "_call_impl",
    "_wrapped_call_impl",
    "decorate_context",
    "wrapper",
    "__enter__",
    "__exit__",
)
Stack = tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path)
    parser.add_argument("--under", default="TurnEngine.run")
    parser.add_argument("--depth", type=int, default=14)
    parser.add_argument("--least", type=float, default=0.004)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    stacks = list(below(options.profile.read_text().splitlines(), options.under))
    total = sum(count for _, count in stacks)
    if not total:
        parser.error(f'no stack of {options.profile} passes a function "{options.under}".')
    figure, axes = pyplot.subplots(figsize=(15, 0.42 * options.depth))
    draw(axes, stacks, total, options.depth, options.least)
    axes.set_xlim(0, 1)
    axes.set_ylim(options.depth, 0)
    axes.set_xticks([k / 10 for k in range(11)], [f"{10 * k} %" for k in range(11)])
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(options.out)
    print(f"{options.out}: {total} samples")


def below(lines: Sequence[str], under: str) -> Iterator[tuple[Stack, int]]:
    """Stacks from the first frame of that function on, without line numbers."""
    for line in lines:
        path, count = line.rsplit(" ", 1)
        frames = tuple(frame.rsplit(":", 1)[0] + ")" for frame in path.split(";"))
        names = [frame.split(" ", 1)[0] for frame in frames]
        if under in names:
            inside = frames[names.index(under) :]
            kept = [f for f in inside if f.split(" ", 1)[0].rsplit(".", 1)[-1] not in WRAPPERS]
            yield tuple(kept), int(count)


def draw(
    axes: pyplot.Axes, stacks: Sequence[tuple[Stack, int]], total: int, depth: int, least: float
) -> None:
    def level(group: Sequence[tuple[Stack, int]], at: int, left: float) -> None:
        children: dict[str, list[tuple[Stack, int]]] = defaultdict(list)
        for stack, count in group:
            if len(stack) > at:
                children[stack[at]].append((stack, count))
        for name, inside in sorted(children.items(), key=lambda c: -sum(n for _, n in c[1])):
            width = sum(count for _, count in inside) / total
            if width >= least and at < depth:
                box(axes, name, left, at, width)
                level(inside, at + 1, left)
            left += width

    level(stacks, 0, 0.0)


def box(axes: pyplot.Axes, name: str, left: float, at: int, width: float) -> None:
    color = OWN if "ultraedit" in name else OTHER
    axes.add_patch(Rectangle((left, at), width, 0.94, facecolor=color, edgecolor="white"))
    function, _, place = name.partition(" (")
    file = place.rstrip(")").rsplit("/", 1)[-1]
    text = f"{function}  {file}" if width > 0.12 else function
    room = int(width * 190)
    if room > 3:
        axes.text(left + 0.002, at + 0.5, text[:room], va="center", fontsize=8, clip_on=True)


if __name__ == "__main__":
    main()
