#!/usr/bin/env python3
"""Development tool: keeps src/text/jinja equal to jinja2 as Hugging Face transformers sets it up.

  check_jinja.py cases                       writes tests/text/jinja_cases.jsonl from tests/text/jinja_cases.txt with jinja2
  check_jinja.py unicode                     writes src/text/jinja/unicode_data.cc from Python's unicodedata
  check_jinja.py random  -n 10000 -- CMD     random expressions and statements, against jinja2
  check_jinja.py chats   -n 10000 --templates DIR -- CMD
                                             random conversations through every *.jinja of DIR, against jinja2
CMD is a program that reads JSON lines {"template": ..., "inputs": ...} and answers each with {"text": ...} or
{"error": ...}; by default `glimmer render --template FILE --jsonl` is run once for each template (--glimmer PATH).

Needs jinja2 >= 3.1; everything is deterministic for a given --seed.
"""
import argparse
import datetime
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2025, 7, 4, 9, 5, 6)  # what strftime_now says; tests set the same clock


def environment():
    """The environment of transformers.utils.chat_template_utils, with a fixed clock."""
    import jinja2
    import jinja2.ext
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

        @jinja2.pass_eval_context
        def _support(self, context, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols, jinja2.ext.do],
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def complete(inputs):
    """Inputs as transformers passes them: tools, documents and add_generation_prompt are always there."""
    return {"tools": None, "documents": None, "add_generation_prompt": False, **inputs}


class Reference:
    def __init__(self):
        self.env = environment()
        self.compiled = {}

    def render(self, template, inputs):
        """{"text": ...} or {"error": ...}."""
        try:
            if template not in self.compiled:
                self.compiled[template] = self.env.from_string(template)
            text = self.compiled[template].render(**complete(json.loads(json.dumps(inputs))))
            text.encode()  # a lone surrogate is no text
            return {"text": text}
        except RecursionError:
            return {"error": "RecursionError"}
        except Exception as error:  # whatever Python raises, a template error it is
            return {"error": f"{type(error).__name__}: {error}"}


# ---------------------------------------------------------------------------------------------------------------- cases


def read_cases(path):
    """Blocks of `=== optional JSON context`, then the template's lines. The newline before the next === is not in it."""
    context, lines = None, []
    for line in path.read_text().split("\n"):
        if line.startswith("==="):
            if context is not None:
                yield "\n".join(lines), context
            context, lines = json.loads(line[3:].strip() or "{}"), []
        elif context is not None:
            lines.append(line)
    if context is not None:
        yield "\n".join(lines).rstrip("\n"), context


def write_cases():
    reference = Reference()
    out = ROOT / "tests/text/jinja_cases.jsonl"
    rows = []
    for template, context in read_cases(ROOT / "tests/text/jinja_cases.txt"):
        inputs = {"messages": [], **context}
        answer = reference.render(template, inputs)
        row = {"template": template, "inputs": inputs}
        if "text" in answer:
            row["text"] = answer["text"]
        else:
            row["error"] = True
            print(f"error expected: {template!r}: {answer['error'][:100]}", file=sys.stderr)
        rows.append(row)
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{out}: {len(rows)} cases, {sum('error' in row for row in rows)} of them errors")


# ---------------------------------------------------------------------------------------------------------- comparison


def ask(command, glimmer, requests):
    """Answers of the C++ side, in order."""
    if command:
        text = "".join(json.dumps({"template": t, "inputs": i}) + "\n" for t, i in requests)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
    by_template = {}
    for index, (template, inputs) in enumerate(requests):
        by_template.setdefault(template, []).append((index, inputs))
    answers = [None] * len(requests)
    for template, items in by_template.items():
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
            file.write(template)
            file.flush()
            for index, inputs in items:  # one by one: an error ends the run
                done = subprocess.run(
                    [glimmer, "render", "--template", file.name, "--jsonl"],
                    input=json.dumps(inputs) + "\n", capture_output=True, text=True, check=False)
                answers[index] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr.strip()}
    return answers


def plain(answer):
    """The text without object addresses; None for an error."""
    return re.sub(r"(?i) at 0x[0-9a-f]+", "", answer["text"]) if "text" in answer else None


def known_difference(expected, answer):
    """jinja2 folds constants with other rules than it evaluates with: (1)[1:] is undefined there, x[1:] an error."""
    return "text" in expected and "cannot be sliced" in answer.get("error", "")


def compare(command, glimmer, requests, show=20):
    reference = Reference()
    wrong = errors = 0
    for start in range(0, len(requests), 2000):
        part = requests[start : start + 2000]
        answers = ask(command, glimmer, part)
        assert len(answers) == len(part), "the program under test ended early"
        for (template, inputs), answer in zip(part, answers):
            expected = reference.render(template, inputs)
            errors += "error" in expected
            if plain(expected) == plain(answer) or known_difference(expected, answer):
                continue
            wrong += 1
            if wrong <= show:
                print(f"--- {template[:600]!r}\n    inputs   {json.dumps(inputs)[:600]}")
                print(f"    expected {str(expected)[:600]}\n    got      {str(answer)[:600]}")
    print(f"{len(requests)} renders, {errors} of them errors of jinja2's, {wrong} mismatches")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["cases", "unicode", "random", "chats", "table"])
    parser.add_argument("-n", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--glimmer", default=str(ROOT / "build/release/glimmer"))
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    warnings.simplefilter("ignore", SyntaxWarning)  # of Python code that jinja2 makes
    if options.mode == "cases":
        return write_cases()
    if options.mode == "unicode":
        import check_jinja_unicode

        return check_jinja_unicode.write(ROOT / "src/text/jinja/unicode_data.cc")
    import check_jinja_random

    rng = random.Random(options.seed)
    if options.mode == "random":
        requests = [check_jinja_random.program(rng) for _ in range(options.n)]
    elif options.mode == "table":
        requests = [(t, {"messages": [], **c}) for t, c in read_cases(ROOT / "tests/text/jinja_cases.txt")]
    else:
        templates = [path.read_text() for path in sorted(options.templates.glob("*.jinja"))]
        requests = [(rng.choice(templates), check_jinja_random.chat(rng)) for _ in range(options.n)]
    sys.exit(1 if compare(command, options.glimmer, requests) else 0)


if __name__ == "__main__":
    main()
