"""A server that is killed with SIGKILL again and again while edits are sent to it, each under a key.

What was acknowledged must be there, once, after every kill.
"""

from __future__ import annotations

import http.client
import random
import subprocess
import sys
import threading
import time
from typing import Any

from serve_common import facts, parser, start, tell, workspace_in


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--turn", type=int, default=4)
    given = options.parse_args()
    dice = random.Random(0)
    with workspace_in(None, given.model, given.dtype) as folder:
        rows = facts((given.kills + 1) * given.turn)
        turns = [rows[low : low + given.turn] for low in range(0, len(rows), given.turn)]
        answers: dict[int, Any] = {}
        broken = 0
        server = start(folder)
        for number, turn in enumerate(turns):
            doomed = number < given.kills
            while number not in answers:
                if doomed:
                    timer = threading.Timer(dice.random() * 1.5, server.kill)
                    timer.start()
                key = {"Idempotency-Key": f"turn-{number}"}
                try:
                    status, body = server.send("POST", "/edits", {"edits": turn}, **key)
                    if status == 200:
                        answers[number] = body
                except (OSError, http.client.HTTPException):
                    broken += 1
                if doomed:
                    timer.join()
                    doomed = False
                    server = start(folder)
        again = 0
        for number, turn in enumerate(turns):
            key = {"Idempotency-Key": f"turn-{number}"}
            again += server.send("POST", "/edits", {"edits": turn}, **key)[1] == answers[number]
        history = server.send("GET", "/history")[1]
        ended = server.stop()
        time.sleep(0.1)
        verified = subprocess.run(
            [sys.executable, "-m", "ultraedit", "verify", str(folder)], check=False
        )
        tell(
            {
                "kills": given.kills,
                "requests_that_broke": broken,
                "turns_sent": len(turns),
                "turns_in_the_journal": len(history["turns"]),
                "edits_in_the_journal": history["edits_ever"],
                "edits_sent": len(rows),
                "same_answer_again": again,
                "verify": verified.returncode,
                "server_ended_with": ended,
            },
            given.out,
        )


if __name__ == "__main__":
    main()
