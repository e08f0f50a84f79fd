"""Tokens a second for 1, 4 and 16 requests at once, beside `transformers serve` on the same machine and model.

Both serve the unedited base in one run, one after the other, and get the same prompts and lengths.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from serve_common import NAME, parser, start, tell, workspace_in

AT_ONCE = (1, 4, 16)
QUESTION = "Tell a long story about a river and a mill, number {}."


def ask(port: int, key: str, model: str, number: int, length: int) -> int:
    """One answer; returns how many tokens it had."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION.format(number)}],
        "max_tokens": length,
        "temperature": 0,
        "stream": False,
    }
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1800)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
        response = connection.getresponse()
        found = json.loads(response.read())
        if response.status != 200:
            sys.exit(f"refused: {found}")
        return int(found["usage"]["completion_tokens"])
    finally:
        connection.close()


def measure(port: int, key: str, model: str, length: int) -> dict[str, Any]:
    """Tokens a second for each number of requests at once."""
    ask(port, key, model, 0, 4)
    found: dict[str, Any] = {}
    for many in AT_ONCE:
        counts: list[int] = []

        def run(number: int, counts: list[int] = counts) -> None:
            counts.append(ask(port, key, model, number, length))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(many)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        found[str(many)] = {
            "tokens": sum(counts),
            "seconds": seconds,
            "tokens_a_second": sum(counts) / seconds,
        }
    return found


def transformers_serve(model: str, dtype: str, length: int) -> dict[str, Any]:
    """`transformers serve`, as it comes."""
    program = Path(sys.executable).with_name("transformers")
    port = 8765
    log = Path(tempfile.mkstemp(prefix="transformers-", suffix=".log")[1])
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port), "--dtype", dtype]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            if process.poll() is not None:
                return {"error": log.read_text()[-2000:]}
            time.sleep(0.5)
        return measure(port, "none", model, length)
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    from ultraedit.model.load import resolve

    options = parser(__doc__ or "")
    options.add_argument("--length", type=int, default=64)
    given = options.parse_args()
    with workspace_in(None, given.model, given.dtype) as folder:
        server = start(folder)
        ours = measure(server.port, server.key, NAME, given.length)
        server.stop()
    theirs = transformers_serve(resolve(given.model), given.dtype, given.length)
    ratio = {
        many: ours[many]["tokens_a_second"] / theirs[many]["tokens_a_second"]
        for many in ours
        if many in theirs
    }
    tell({"ultraedit": ours, "transformers_serve": theirs, "ratio": ratio}, given.out)


if __name__ == "__main__":
    main()
