"""Memory of a server over thousands of requests of all kinds, with edits and undos between them."""

from __future__ import annotations

import threading

from serve_common import NAME, facts, parser, start, tell, workspace_in


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--requests", type=int, default=2000)
    options.add_argument("--length", type=int, default=8)
    given = options.parse_args()
    with workspace_in(None, given.model, given.dtype) as folder:
        server = start(folder)
        rows = facts(200)
        seen: list[dict[str, float]] = []
        refused = 0
        lock = threading.Lock()
        window = server.send("GET", "/v1/models")[1]["data"][0]["max_model_len"]
        # a byte is a token in the tests' models, whose window is short: every request must be one that fits
        most = min(60, (window - given.length) // len("word "))

        def ask(number: int) -> None:
            nonlocal refused
            model = NAME if number % 3 else f"{NAME}@base"
            prompt = "word " * (1 + number * 7 % (most - 1))
            body = {
                "model": model,
                "prompt": prompt,
                "max_tokens": given.length,
                "temperature": number % 2,
            }
            status, _ = server.send("POST", "/v1/completions", body)
            with lock:
                refused += status != 200

        for low in range(0, given.requests, 20):
            threads = [threading.Thread(target=ask, args=(low + i,)) for i in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if low % 100 == 80:
                row = rows[low // 100 % len(rows)]
                server.send("POST", "/edits", {"edits": [row]})
                if low % 200 == 180:
                    server.send("POST", "/undo", {"count": 1})
                seen.append({"requests": low + 20, "memory_mb": server.memory_mb})
        ended = server.stop()
        half = len(seen) // 2
        first = max(s["memory_mb"] for s in seen[2:half])
        last = max(s["memory_mb"] for s in seen[half:])
        tell(
            {
                "requests": given.requests,
                "refused": refused,
                "most_mb_first_half": first,
                "most_mb_second_half": last,
                "growth": last / first - 1,
                "server_ended_with": ended,
                "seen": seen,
            },
            given.out,
        )


if __name__ == "__main__":
    main()
