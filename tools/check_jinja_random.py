"""Random template programs and random conversations for check_jinja.py."""

WORDS = ["alpha", "Beta", "γάμμα", "中文 字", "  spaced ", "a\nb", "it's", 'say "hi"', "", "x<y>&z", "😀", "0", "42", "-7.5",
         "</think>", "<think>", "a,b,c", "UPPER", "ß", "\t", "tool_call", "{}", "%s", "{{", "Éa", "/nothink", "\u00a0"]

CONTEXT = {
    "s": "Hello, Wörld", "e": "", "i": 7, "z": 0, "n": None, "f": 2.5, "t": True, "l": [3, 1, 2], "ls": ["b", "A", "c"],
    "d": {"a": 1, "items": [1, 2], "k": "v", "nested": {"x": [1, {"y": "z"}]}},
    "ms": [{"role": "user", "n": 2, "c": "x"}, {"role": "tool", "n": 1}, {"role": "user", "n": 3, "c": None}],
    "m": [[1, 2], [3, 4]],
}
NAMES = list(CONTEXT) + ["undef"]
FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "string", "list", "first", "last", "sort", "reverse|list",
           "join", "join(',')", "tojson", "tojson(indent=2)", "int", "float", "abs", "round", "round(1)", "default('d')",
           "default('d', true)", "sum", "max", "min", "unique|list", "map('upper')|list", "map('string')|list",
           "map(attribute='n')|list", "select|list", "reject|list", "select('odd')|list", "selectattr('c')|list",
           "selectattr('role', 'equalto', 'user')|list", "rejectattr('c', 'defined')|list", "batch(2)|list",
           "slice(2)|list", "replace('a', 'x')", "replace('', '-')", "indent", "indent(2, true)", "wordcount", "e", "safe", "items|list",
           "dictsort", "center(9)", "truncate(5)", "truncate(6, true, '.')", "urlencode", "groupby('role')|length",
           "format(1)", "count", "sort(reverse=true)", "sort(attribute='n')", "map('int')|list", "join(', ', attribute='n')",
           "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "batch(2, 0)|list", "int(9)", "round(0, 'floor')",
           "trim('a')", "filesizeformat", "map(attribute='c', default=5)|list", "forceescape", "pprint|length"]
FILTERS.remove("pprint|length")
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable",
         "callable", "odd", "even", "true", "false", "lower", "upper", "divisibleby 2", "eq 1", "in [1, 'a', none]",
         "sameas none", "gt 1", "lt 'm'", "ne none", "escaped", "ge 2"]
METHODS = ["upper()", "lower()", "strip()", "lstrip()", "rstrip('l ')", "split()", "split(',')", "split('l', 1)", "title()",
           "capitalize()", "swapcase()", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "startswith('H')",
           "endswith(('d', 'a'))", "find('l')", "rfind('l')", "count('l')", "replace('l', 'L')", "replace('l', '', 1)",
           "zfill(6)", "center(15, '*')", "ljust(14, '.')", "splitlines()", "rsplit(' ', 1)", "partition(',')", "format(1, 2)",
           "items()|list", "keys()|list", "values()|list", "get('a')", "get('q', 5)", "count(1)", "index(1)", "copy()",
           "removeprefix('He')", "removesuffix('d')", "isalnum()", "istitle()", "expandtabs(4)", "join(ls)", "append(1)",
           "casefold()", "rpartition('l')", "isidentifier()", "isnumeric()"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in"]


def literal(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return str(rng.choice([0, 1, 2, 3, 5, 10, 100]))
    if kind == 1:
        return rng.choice(["0.5", "1.0", "2.75", "1e3", "1e-5", "3.0"])
    if kind == 2:
        return rng.choice(["true", "false", "none"])
    if kind in (3, 4):
        text = rng.choice(WORDS)
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t") + "'"
    if kind == 5:
        return "[" + ", ".join(literal(rng) for _ in range(rng.randrange(4))) + "]"
    if kind == 6:
        return "(" + "".join(literal(rng) + ", " for _ in range(rng.randrange(1, 3))) + ")"
    return "{" + ", ".join(f"{rng.choice(['1', repr('k'), repr('a')])}: {literal(rng)}" for _ in range(rng.randrange(3))) + "}"


def expression(rng, depth):
    if depth == 0:
        return rng.choice(NAMES) if rng.random() < 0.6 else literal(rng)
    def sub():
        return expression(rng, depth - 1)
    kind = rng.randrange(12)
    if kind == 0:
        return f"({sub()} {rng.choice(OPERATORS)} {sub()})"
    if kind == 1:
        return f"{expression(rng, 0)} {rng.choice(OPERATORS)} {expression(rng, 0)} {rng.choice(OPERATORS)} {expression(rng, 0)}"
    if kind in (2, 3):
        return f"{expression(rng, 0)}|{rng.choice(FILTERS)}"
    if kind == 4:
        return f"({sub()})|{rng.choice(FILTERS)}"
    if kind == 5:
        return f"({sub()}) is {rng.choice(['', 'not '])}{rng.choice(TESTS)}"
    if kind == 6:
        return f"({sub()}).{rng.choice(METHODS)}"
    if kind == 7:
        return f"{rng.choice(['s', 'ls', 'd', 'l'])}.{rng.choice(METHODS)}"
    if kind == 8:
        index = rng.choice(["0", "-1", "1", "'a'", "'k'", "1:", ":2", "::-1", "-2:", "1:3", "::2", "5", "n", "t", "'upper'"])
        return f"({sub()})[{index}]"
    if kind == 9:
        return f"({sub()} if {sub()} else {sub()})"
    if kind == 10:
        return f"{rng.choice(['not ', '-', '+'])}({sub()})"
    return f"d.{rng.choice(['a', 'items', 'k', 'nested', 'nested.x', 'nested.x[1].y', 'q', '_x', 'nested.x.0'])}"


def spaced(rng, inner, block):
    left = rng.choice(["", "", "-", "+" if block else "-"])
    right = rng.choice(["", "", "-", "+" if block else ""])
    marks = ("{%", "%}") if block else ("{{", "}}")
    return f"{marks[0]}{left} {inner} {right}{marks[1]}"


def text(rng):
    return rng.choice(["", "", "x", " ", "\n", "  \n", " y ", "\n  ", "\n\n", "{# c #}", "\t", " {#- c -#} ", "<|user|>\n"])


def statements(rng, depth):
    out = []
    for _ in range(rng.randrange(1, 4)):
        out.append(text(rng))
        kind = rng.randrange(10) if depth > 0 else rng.randrange(4)
        def body():
            return statements(rng, depth - 1)
        def tag(inner):
            return spaced(rng, inner, True)
        small = expression(rng, rng.randrange(2))
        name = rng.choice(["a", "b", "s", "i", "l"])
        if kind < 3:
            out.append(spaced(rng, expression(rng, rng.randrange(3)), False))
        elif kind == 3:
            out.append(tag(f"set {rng.choice([name, name, 'ns.' + name])} = {small}"))
        elif kind == 4:
            out.append(tag(f"if {small}") + body() + rng.choice(["", tag(f"elif {small}") + body()]) + tag("else") + body() + tag("endif"))
        elif kind in (5, 6):
            iterable = rng.choice(["l", "ls", "ms", "range(3)", "s", "d", "d.items()", "ms|selectattr('c')", "m", small, "[]"])
            test = rng.choice(["", "", f" if {small}"])
            loop = rng.choice(["", spaced(rng, "loop.index", False), spaced(rng, "loop.last ~ loop.length", False),
                               spaced(rng, "loop.previtem ~ loop.nextitem ~ loop.revindex", False)])
            control = rng.choice(["", "", tag("if loop.index > 1") + tag(rng.choice(["break", "continue"])) + tag("endif")])
            orelse = rng.choice(["", tag("else") + body()])
            out.append(tag(f"for {name} in {iterable}{test}") + loop + control + body() + orelse + tag("endfor"))
        elif kind == 7:
            out.append(tag(f"macro f({name}, c=1)") + body() + spaced(rng, "c", False) + tag("endmacro"))
            out.append(spaced(rng, rng.choice(["f(1)", "f(l, 2)", "f(c=s)", f"f({small})"]), False))
        elif kind == 8:
            out.append(rng.choice([tag(f"set {name}"), tag(f"set {name} | upper")]) + body() + tag("endset"))
        else:
            block = rng.choice([("filter upper", "endfilter"), (f"with {name} = {small}", "endwith"), ("generation", "endgeneration"),
                                ("filter trim", "endfilter")])
            out.append(tag(block[0]) + body() + tag(block[1]))
    return "".join(out) + text(rng)


def program(rng):
    inputs = {"messages": [], **CONTEXT}
    if rng.random() < 0.6:
        return "{{ " + expression(rng, rng.randrange(1, 4)) + " }}", inputs
    return "{% set ns = namespace(a=1) %}" + statements(rng, 2), inputs


def words(rng, most=6):
    return rng.choice([" ", "", "\n"]).join(rng.choice(WORDS) for _ in range(rng.randrange(most)))


def json_value(rng, depth=2):
    kind = rng.randrange(8 if depth else 6)
    if kind == 0:
        return rng.randrange(-1000, 1000)
    if kind == 1:
        return rng.choice([0.5, 1.0, 1e-05, 1e20, -2.25, 3.14159, 1e16, 123456.789])
    if kind == 2:
        return rng.choice([True, False, None])
    if kind < 6:
        return words(rng, 3)
    if kind == 6:
        return [json_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {rng.choice(["a", "b c", "中", "type", "items", "x"]) + str(i): json_value(rng, depth - 1) for i in range(rng.randrange(3))}


def tool(rng):
    properties = {f"p{i}": {"type": rng.choice(["string", "integer", "boolean"]), "description": words(rng)} for i in range(rng.randrange(4))}
    function = {"name": rng.choice(["get_weather", "add", "搜索"]), "description": words(rng),
                "parameters": {"type": "object", "properties": properties, "required": list(properties)[:1]}}
    if rng.random() < 0.2:
        function["strict"] = rng.choice([True, False])
    if rng.random() < 0.1:
        function["defer_loading"] = rng.choice([True, False])
    return {"type": "function", "function": function} if rng.random() < 0.8 else function


def content(rng):
    kind = rng.random()
    if kind < 0.65:
        return words(rng)
    if kind < 0.7:
        return None
    parts = []
    for _ in range(rng.randrange(4)):
        parts.append(rng.choice([{"type": "text", "text": words(rng)}, words(rng), {"type": "image", "image": "x"},
                                 {"type": "image_url", "image_url": {"url": "u"}}, {"type": "video_url"}, {"output": words(rng)},
                                 {"type": "tool_reference", "name": "add"}]))
    return parts


def message(rng):
    role = rng.choice(["user", "user", "assistant", "assistant", "tool", "system", "observation", "developer"])
    result = {"role": role}
    if rng.random() < 0.95:
        result["content"] = content(rng)
    if role == "assistant":
        if rng.random() < 0.4:
            result["reasoning_content"] = rng.choice([words(rng), None, "\n" + words(rng) + "\n"])
        if rng.random() < 0.3:
            result["content"] = "<think>" + words(rng) + "</think>" + words(rng)
        if rng.random() < 0.4:
            calls = []
            for _ in range(rng.randrange(3)):
                call = {"name": rng.choice(["get_weather", "add"]),
                        "arguments": {f"k{i}": json_value(rng) for i in range(rng.randrange(3))}}
                calls.append({"id": "c1", "type": "function", "function": call} if rng.random() < 0.8 else call)
            result["tool_calls"] = calls
        if rng.random() < 0.2:
            result["metadata"] = rng.choice(["add", ""])
    return result


def chat(rng):
    inputs = {"messages": [message(rng) for _ in range(rng.randrange(1, 7))]}
    if rng.random() < 0.5:
        inputs["tools"] = rng.choice([None, [], [tool(rng) for _ in range(rng.randrange(1, 4))]])
    if rng.random() < 0.7:
        inputs["add_generation_prompt"] = rng.choice([True, False])
    for key in ("enable_thinking", "clear_thinking"):
        if rng.random() < 0.4:
            inputs[key] = rng.choice([True, False])
    if rng.random() < 0.3:
        inputs["reasoning_effort"] = rng.choice(["high", "max", "low", None])
    for key in ("bos_token", "eos_token"):
        if rng.random() < 0.2:
            inputs[key] = rng.choice(["<s>", "</s>"])
    return inputs
