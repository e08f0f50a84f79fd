"""Seconds to the first token, with and without a turn running, and how long a turn makes a stream wait."""

from __future__ import annotations

import threading
import time

from serve_common import NAME, Stream, facts, median, parser, start, tell, workspace_in


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--asked", type=int, default=30)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--turn", type=int, default=10)
    given = options.parse_args()
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": "Tell me about rivers."}],
        "temperature": 0,
        "max_tokens": 12,
    }
    with workspace_in(None, given.model, given.dtype) as folder:
        server = start(folder)
        rows = facts(given.turns * given.turn + given.turn)
        server.send("POST", "/edits", {"edits": rows[: given.turn]})  # the monitor is made once
        still = [Stream(server, body).join() for _ in range(given.asked)]
        over = threading.Event()

        def write() -> None:
            for low in range(given.turn, len(rows), given.turn):
                server.send("POST", "/edits", {"edits": rows[low : low + given.turn]})
            over.set()

        threading.Thread(target=write).start()
        time.sleep(0.2)
        beside: list[Stream] = []
        while not over.is_set():
            beside.append(Stream(server, body).join())
        ended = server.stop()

        def waits(streams: list[Stream]) -> list[float]:
            return [b - a for s in streams for a, b in zip(s.times, s.times[1:], strict=False)]

        tell(
            {
                "asked_without": len(still),
                "asked_beside": len(beside),
                "first_token_without": median([s.times[0] for s in still]),
                "first_token_beside": median([s.times[0] for s in beside]),
                "first_token_beside_most": max(s.times[0] for s in beside),
                "between_tokens_without": median(waits(still)),
                "between_tokens_beside": median(waits(beside)),
                "between_tokens_without_most": max(waits(still)),
                "between_tokens_beside_most": max(waits(beside)),
                "errors": [s.error for s in still + beside if s.error],
                "server_ended_with": ended,
            },
            given.out,
        )


if __name__ == "__main__":
    main()
