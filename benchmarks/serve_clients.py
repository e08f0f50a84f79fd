"""Three clients of others at a live server: `openai`, lm-eval's local-completions, and schemathesis.

lm-eval scores multiple-choice questions over HTTP and in process; the log-probabilities must be the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from serve_common import NAME, Server, facts, parser, start, tell, workspace_in

QUESTIONS = [
    ("The capital of France is", (" Paris", " Rome", " a river")),
    ("Two plus two is", (" four", " five", " a mill")),
    ("Water freezes at zero degrees", (" Celsius", " Kelvin", " bread")),
    ("Who runs Orvane Foods?", (" Ida Krol", " Nobody", " The river")),
]


def with_openai(server: Server) -> dict[str, Any]:
    """Every call of the package that the server answers."""
    import openai

    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key=server.key, max_retries=0
    )
    models = [m.id for m in client.models.list()]
    chat: Any = {
        "model": NAME,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 16,
    }
    whole = client.chat.completions.create(**chat)
    chunks = list(client.chat.completions.create(**chat, stream=True))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    text = client.completions.create(model=NAME, prompt="One, two,", max_tokens=5, temperature=0)
    refusals = []
    for wrong in ({"model": "other"}, {"n": 99}, {"tools": [{"type": "function"}]}):
        try:
            client.chat.completions.create(**(chat | wrong))
        except openai.APIStatusError as error:
            refusals.append([error.status_code, error.body and error.body["param"]])  # type: ignore[index]
    return {
        "models": models,
        "answer": whole.choices[0].message.content,
        "streamed_the_same": streamed == whole.choices[0].message.content,
        "completion": text.choices[0].text,
        "refusals": refusals,
    }


def with_lm_eval(server: Server, folder: Path) -> dict[str, Any]:
    """Log-probabilities of the same questions over HTTP and in process, of the base and of the head."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from ultraedit.model.load import resolve
    from ultraedit.workspace.workspace import Workspace

    os.environ["OPENAI_API_KEY"] = server.key
    asked = [(context, answer) for context, answers in QUESTIONS for answer in answers]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    found: dict[str, Any] = {}
    with Workspace.open(folder) as workspace:
        editor = workspace.editor
        tokenizer = resolve(str(workspace.store.config.base_location(folder)))
        for model, at in ((f"{NAME}@base", "base"), (NAME, "head")):
            remote = LocalCompletionsAPI(
                base_url=f"http://127.0.0.1:{server.port}/v1/completions",
                model=model,
                tokenizer=tokenizer,
                tokenizer_backend="huggingface",
                batch_size=4,
                max_retries=1,
            )
            over_http = remote.loglikelihood(requests)
            with workspace.at(at):
                local = HFLM(pretrained=editor.model, tokenizer=editor.tokenizer, batch_size=4)  # type: ignore[arg-type]
                in_process = local.loglikelihood(requests)
            apart = max(abs(a[0] - b[0]) for a, b in zip(over_http, in_process, strict=True))
            same = sum(bool(a[1]) == bool(b[1]) for a, b in zip(over_http, in_process, strict=True))
            found[at] = {"asked": len(asked), "most_apart": apart, "same_greedy": same}
    return found


def with_schemathesis(server: Server, examples: int) -> dict[str, Any]:
    """Requests of all shapes; every check but that no valid request is ever refused."""
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "run", f"http://127.0.0.1:{server.port}/openapi.json", "--max-examples", str(examples),
        "--header", f"Authorization: Bearer {server.key}", "--seed", "1", "--request-timeout", "120",
        "--exclude-path", "/events", "--exclude-checks", "positive_data_acceptance",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], file=sys.stderr)
    counts = re.search(r"(\d+) generated.*", done.stdout)
    failures = re.findall(r"❌ (ST\d+ .*)", done.stdout)
    log = server.log.read_text()
    return {
        "ended_with": done.returncode,
        "cases": counts[0] if counts else "?",
        "failures": failures,
        "answers_500": len(re.findall(r'" 500 \d+ms', log)),
        "requests": len(re.findall(r"\d+ms [0-9a-f]{16}$", log, re.M)),
    }


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--examples", type=int, default=10)
    given = options.parse_args()
    with workspace_in(None, given.model, given.dtype) as folder:
        server = start(folder)
        server.send("POST", "/edits", {"edits": facts(4)})
        figures = {"openai": with_openai(server), "lm_eval": with_lm_eval(server, folder)}
        print(json.dumps(figures, indent=2), file=sys.stderr)
        figures["schemathesis"] = with_schemathesis(server, given.examples)
        figures["server_ended_with"] = server.stop()  # type: ignore[assignment]
    tell(figures, given.out)


if __name__ == "__main__":
    main()
