#!/usr/bin/env python3
"""Lets the real Claude Code speak with `glimmer serve`.

    pip install claude-agent-sdk          # which brings Claude Code along
    python tools/check_claude_code.py [--glimmer build/release/glimmer] [--claude PATH]

The demo model knows nothing of Claude Code's prompt, and its context is too short for it: a copy with the context raised
answers nonsense to that prompt. What is checked is the way there and back: every request is answered with 200, and Claude
Code takes the stream for an answer. Development only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "serve"))
from support.server import Server  # noqa: E402

CONTEXT = 131072


def bundled_claude() -> Path:
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        sys.exit("claude-agent-sdk is not installed, and --claude not given")
    return Path(spec.origin).parent / "_bundled" / "claude"


def ask(claude: Path, server: Server, home: Path, *arguments: str) -> dict:
    environment = {**os.environ, "HOME": str(home), "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_AUTH_TOKEN": "none",
                   "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "300"}
    run = subprocess.run([claude, "-p", *arguments, "--output-format", "json"], env=environment, cwd=home, text=True,
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    try:
        return json.loads(run.stdout)
    except json.JSONDecodeError:
        sys.exit(f"claude ended with {run.returncode}: {run.stdout[-500:]} {run.stderr[-500:]}")


def requests(server: Server) -> list[dict[str, str]]:
    lines = [line for line in server.lines if "path=/v1/messages" in line]
    return [dict(re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--glimmer", type=Path, default=ROOT / "build/release/glimmer")
    parser.add_argument("--claude", type=Path)
    options = parser.parse_args()
    claude = options.claude or bundled_claude()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        home.mkdir()
        model = Path(directory) / "demo"
        shutil.copytree(ROOT / "models/demo", model)
        config = json.loads((model / "config.json").read_text())
        config["max_position_embeddings"] = CONTEXT
        (model / "config.json").write_text(json.dumps(config))
        short = ("--system-prompt", "You are a helpful assistant.")
        with Server(options.glimmer, "-m", str(model), command=("serve",)) as server:
            whole = ask(claude, server, home, "What is 17 + 25?", "--max-turns", "1")
            plain = ask(claude, server, home, "What is 17 + 25?", *short, "--tools", "")
            assert plain["result"] and not plain["is_error"], plain
        answered = requests(server)
        assert all(request["status"] == "200" for request in answered), answered
        print(f"{len(answered)} requests, all answered; Claude Code's own prompt: {answered[0]['prompt_tokens']} tokens, "
              f"\"{whole['subtype']}\"; with a short one: {plain['result']!r}")


if __name__ == "__main__":
    main()
