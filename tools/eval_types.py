#!/usr/bin/env python3
"""Converts a model to many (format, type) pairs and measures what each costs: the tables and plots of docs/formats.md.

    python tools/eval_types.py run --model models/demo --text models/demo/eval/text.txt \
        --skills models/demo/eval/skills.jsonl --results results.jsonl
    python tools/eval_types.py table --results results.jsonl
    python tools/eval_types.py plot --results results.jsonl --out docs/kld_demo.svg --title "Demo model"

`run` converts with `glimmer convert`, measures with `glimmer eval kld` (base: the model itself) and, given skills, the
part of the prompts of models/demo/eval/skills.jsonl that is answered rightly, greedily. What the results have already
is not measured again, so that it can be interrupted, and skills can come later. Bits a weight are
the bytes of all tensors, scales and what stays in float among them, over the model's parameters (`glimmer inspect`).
Development only: standard library, and matplotlib for `plot`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent

PAIRS = {
    "hf": "f32 bf16 f16 fp8 nf4",
    "gguf": "f32 f16 bf16 q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs mxfp4 q3_k q2_k",
    "mlx": "f32 bf16 f16 mlx8 mlx6 mlx5 mlx4 mlx3 mlx2",
    "dllama": "f32 f16 q80 q40",
}
NAMES = {"dllama": "Distributed Llama", "gguf": "GGUF", "hf": "HF safetensors", "mlx": "MLX"}
MAX_NEW = 400


def glimmer(binary: Path, *arguments: object) -> str:
    run = subprocess.run([binary, *map(str, arguments)], capture_output=True, check=False, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, run.args))}: {run.stderr.strip()}")
    return run.stdout


def skills_of(binary: Path, model: Path, cases: list[Json], threads: int) -> Json:
    """Right answers and prompts for each skill; an answer must end by itself."""
    sys.path.insert(0, str(ROOT / "tools" / "demo_model"))
    import chat  # noqa: PLC0415

    tally: dict[str, list[int]] = {}
    for case in cases:
        ids = ",".join(map(str, case["prompt_ids"]))
        flags = ("--greedy", "-q", "--json", "-n", MAX_NEW, "-t", threads)
        answer = json.loads(glimmer(binary, "run", "-m", model, "--ids", ids, *flags))
        inputs = case["inputs"]
        right = answer["finish_reason"] == "stop" and chat.accepts(
            case["check"], answer["text"], inputs["enable_thinking"], inputs.get("tools")
        )
        count = tally.setdefault(case["skill"], [0, 0])
        count[0] += right
        count[1] += 1
    return tally


def destination(folder: Path, kind: str, kind_type: str) -> Path:
    return folder / (f"{kind}-{kind_type}" + {"gguf": ".gguf", "dllama": ".m"}.get(kind, ""))


def measure(args: argparse.Namespace, result: Json, cases: list[Json], folder: Path) -> None:
    """Adds to `result` what it lacks."""
    out = destination(folder, result["format"], result["type"])
    start = time.time()
    imatrix = ("--imatrix", args.imatrix) if args.imatrix else ()
    glimmer(args.glimmer, "convert", args.model, out, "--format", result["format"], "--type", result["type"], *imatrix)
    if "kld" not in result:
        result["convert_s"] = time.time() - start
        inspected = json.loads(glimmer(args.glimmer, "inspect", "-m", out, "--json"))
        result["bytes"] = inspected["bytes"]
        result["bits_per_weight"] = 8 * inspected["bytes"] / inspected["parameters"]["total"]
        windows = ("--windows", args.windows) if args.windows else ()
        text = ("-f", args.text, *windows, "--json", "-q")
        kld = json.loads(glimmer(args.glimmer, "eval", "kld", "-m", args.model, "-m2", out, *text))
        result["kld"] = {key: value for key, value in kld.items() if key not in ("model", "model2", "text")}
    if cases and "skills" not in result:
        result["skills"] = skills_of(args.glimmer, out, cases, args.threads)


def read_results(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_results(path: Path, results: list[Json]) -> None:
    path.write_text("".join(json.dumps(result) + "\n" for result in results))


def run(args: argparse.Namespace) -> None:
    pairs = [(kind, t) for kind, types in PAIRS.items() for t in types.split()]
    if args.pairs:
        pairs = [tuple(pair.split(":")) for pair in args.pairs.split(",")]
    cases = [json.loads(line) for line in args.skills.read_text().splitlines()] if args.skills else []
    cases = cases[:: args.every]
    results = read_results(args.results)
    failed = 0
    folder = Path(tempfile.mkdtemp(dir=args.scratch))
    for kind, kind_type in pairs:
        key = {"format": kind, "type": kind_type, "imatrix": bool(args.imatrix)}
        found = next((r for r in results if key.items() <= r.items()), None)
        if found is not None and ("skills" in found or not cases):
            continue
        result = found or key
        try:
            measure(args, result, cases, folder)
        except RuntimeError as error:
            print(f"{kind} {kind_type}: {error}", file=sys.stderr)
            failed += 1
            continue
        finally:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if found is None:
            results.append(result)
        write_results(args.results, results)
        kld = result["kld"]["kld"]["mean"]["value"]
        print(f"{kind} {kind_type}: {result['bits_per_weight']:.2f} bits, KLD {kld:.6f}", file=sys.stderr)
    folder.rmdir()
    sys.exit(1 if failed else 0)


def digits(value: float) -> str:
    """Three significant digits of a small number; 0 where it is exactly that."""
    if value < 1e-10:
        return "0" if value == 0 else f"{value:.0e}"
    return f"{value:.2e}" if value < 1e-4 else f"{value:.{3 if value >= 0.1 else 5}f}"


def table(args: argparse.Namespace) -> None:
    results = sorted(read_results(args.results), key=lambda r: (list(PAIRS).index(r["format"]), -r["bits_per_weight"]))
    skills = any("skills" in r for r in results)
    head = ["format", "type", "size", "bits a weight", "KLD, mean", "KLD, p99", "same top token", "perplexity"]
    head += ["skills"] if skills else []
    rows = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    base = results[0]["kld"]["base"]["perplexity"]
    for r in results:
        k = r["kld"]
        row = [NAMES[r["format"]], r["type"] + (" + imatrix" if r["imatrix"] else ""), f"{r['bytes'] / 1e6:.1f} MB"]
        row += [f"{r['bits_per_weight']:.2f}", digits(k["kld"]["mean"]["value"]), digits(k["kld"]["p99"])]
        row += [f"{100 * k['same_top']['value']:.2f} %", f"{k['other']['perplexity']['value']:.4f}"]
        if skills:
            right, all_ = map(sum, zip(*r["skills"].values(), strict=True)) if "skills" in r else (0, 0)
            row += [f"{right} of {all_}" if all_ else ""]
        rows.append(row)
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\nThe model itself: perplexity {base['value']:.4f} ± {base['error']:.4f}, "
          f"{results[0]['kld']['scored_tokens']} tokens scored in windows of {results[0]['kld']['context']}.")  # fmt: skip


def plot(args: argparse.Namespace) -> None:
    import matplotlib  # noqa: PLC0415

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "glimmer"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 5))
    marks = (("gguf", "o", (4, 3)), ("mlx", "s", (4, -9)), ("dllama", "^", (-20, -10)), ("hf", "D", (4, 3)))
    for kind, marker, offset in marks:
        for imatrix in (False, True):
            points = [r for r in read_results(args.results) if (r["format"], r["imatrix"]) == (kind, imatrix)]
            points = [r for r in points if r["kld"]["kld"]["mean"]["value"] > 0 and r["bits_per_weight"] < 10]
            if not points:
                continue
            x = [r["bits_per_weight"] for r in points]
            y = [r["kld"]["kld"]["mean"]["value"] for r in points]
            axes.scatter(x, y, marker=marker, label=NAMES[kind] + (" + imatrix" if imatrix else ""))
            for r, at_x, at_y in zip(points, x, y, strict=True):
                axes.annotate(r["type"], (at_x, at_y), offset, textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("bits a weight, all tensors")
    axes.set_ylabel("mean KLD from the original, nats a token")
    axes.set_title(args.title)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="convert and measure")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--text", type=Path, required=True)
    command.add_argument("--windows", type=int)
    command.add_argument("--skills", type=Path, help="only for the demo model")
    command.add_argument("--every", type=int, default=1, help="take each N-th prompt of the skills")
    command.add_argument("--imatrix", type=Path, help="importance for glimmer convert")
    command.add_argument("--pairs", help="format:type,... (default: all that glimmer writes)")
    command.add_argument("--threads", type=int, default=1, help="of generation; the demo model is fastest with one")
    command.add_argument("--results", type=Path, required=True)
    command.add_argument("--scratch", type=Path, help="where the converted models lie for a while")
    command.add_argument("--glimmer", type=Path, default=ROOT / "build" / "release" / "glimmer")
    command.set_defaults(run=run)
    command = commands.add_parser("table", help="print Markdown")
    command.add_argument("--results", type=Path, required=True)
    command.set_defaults(run=table)
    command = commands.add_parser("plot", help="draw KLD against bits")
    command.add_argument("--results", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--title", required=True)
    command.set_defaults(run=plot)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
