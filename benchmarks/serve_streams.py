"""Streams beside edits: 20 at once while 200 edits are written in turns of 10 and 50 are undone.

Every stream's text must be what its version says alone; the script compares them token by token when all is over.
Prints how many agree, how long a stream waited between two tokens with and without a turn running, and how long its
first token took.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from serve_common import NAME, Stream, facts, median, parser, start, tell, workspace_in

QUESTIONS = (
    "Tell me about rivers.",
    "What is the capital of France?",
    "Write a line about winter.",
    "Who runs Orvane Foods?",
    "Count from one to ten.",
)


def ask(number: int, length: int, model: str = NAME) -> dict[str, Any]:
    """A question of its own for every stream."""
    question = f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"
    return {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": length,
    }


def gaps(streams: list[Stream]) -> list[float]:
    """Seconds between two pieces of text of one stream."""
    return [b - a for s in streams for a, b in zip(s.times, s.times[1:], strict=False)]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--streams", type=int, default=20)
    options.add_argument("--edits", type=int, default=200)
    options.add_argument("--turn", type=int, default=10)
    options.add_argument("--undone", type=int, default=50)
    options.add_argument("--length", type=int, default=48)
    given = options.parse_args()
    with workspace_in(None, given.model, given.dtype) as folder:
        server = start(folder, "--rows", "32", "--versions", "40", "--waiting", "200")
        quiet = [Stream(server, ask(i, given.length)) for i in range(given.streams)]
        for stream in quiet:
            stream.join()
        over = threading.Event()
        turns: list[float] = []
        problems: list[str] = []

        def write() -> None:
            rows = facts(given.edits)
            for low in range(0, len(rows), given.turn):
                began = time.perf_counter()
                status, body = server.send(
                    "POST", "/edits", {"edits": rows[low : low + given.turn]}
                )
                turns.append(time.perf_counter() - began)
                if status != 200:
                    problems.append(str(body))
            for _ in range(given.undone // given.turn):
                status, body = server.send("POST", "/undo", {"count": given.turn})
                if status != 200:
                    problems.append(str(body))
            over.set()

        writer = threading.Thread(target=write)
        writer.start()
        beside: list[Stream] = []
        running: list[Stream] = []
        while not over.is_set():
            running = [s for s in running if s._thread.is_alive()]
            while len(running) < given.streams and not over.is_set():
                running.append(Stream(server, ask(len(beside), given.length)))
                beside.append(running[-1])
            time.sleep(0.02)
        writer.join()
        for stream in beside:
            stream.join()
        history = server.send("GET", "/history")[1]
        turn_of = {row["weight_version"]: row["turn"] for row in history["turns"] if row["kept"]}
        base = server.send("GET", f"/v1/models/{NAME}@base")[1]["weight_version"]
        turn_of[base] = 0
        same = compared = gone = 0
        differ = []
        for number, stream in enumerate(beside):
            if stream.error:
                continue
            if stream.version not in turn_of:
                gone += 1
                continue
            compared += 1
            alone = Stream(
                server, ask(number, given.length, f"{NAME}@turn:{turn_of[stream.version]}")
            ).join()
            if alone.text == stream.text and alone.version == stream.version:
                same += 1
            else:
                differ.append([stream.version, stream.text, alone.text, alone.error])
        ended = server.stop()
        between, still = gaps(beside), gaps(quiet)
        tell(
            {
                "streams_at_once": given.streams,
                "streams_beside_edits": len(beside),
                "compared_alone": compared,
                "same_text": same,
                "differ": differ[:3],
                "version_no_longer_kept": gone,
                "stream_errors": [s.error for s in beside if s.error][:5],
                "versions_seen": len({s.version for s in beside}),
                "edits": given.edits,
                "head_turn": history["head"],
                "edit_errors": problems,
                "turn_seconds_median": median(turns),
                "first_token_seconds_quiet": median([s.times[0] for s in quiet if s.times]),
                "first_token_seconds_beside": median([s.times[0] for s in beside if s.times]),
                "longest_wait_quiet": max(still, default=0.0),
                "longest_wait_beside": max(between, default=0.0),
                "wait_beside_99_percent": sorted(between)[int(0.99 * (len(between) - 1))],
                "wait_beside_median": median(between),
                "server_ended_with": ended,
            },
            given.out,
        )


if __name__ == "__main__":
    main()
