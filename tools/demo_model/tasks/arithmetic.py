"""Skill (a): add, subtract and multiply small integers, in English and Chinese."""

from __future__ import annotations

import words
from conversation import Exchange, Rng, answer

_COLUMNS = {"en": ("Ones", "Tens", "Hundreds", "Thousands"), "zh": ("个位", "十位", "百位", "千位")}


def _column_add(a: int, b: int, zh: bool) -> str:
    parts, carry, pos = [], 0, 0
    names = _COLUMNS["zh" if zh else "en"]
    while a or b or carry or pos == 0:
        x, y = a % 10, b % 10
        if not a and not b:
            parts.append(f"{names[pos]}: {carry}")
            break
        total = x + y + carry
        term = f"{names[pos]}: {x} + {y}" + (f" + {carry}" if carry else "") + f" = {total}"
        carry = total // 10
        if carry:
            term += f"，写 {total % 10} 进 1" if zh else f", write {total % 10}, carry 1"
        parts.append(term)
        a, b, pos = a // 10, b // 10, pos + 1
    return ("。" if zh else ". ").join(parts) + ("。" if zh else ".")


def _column_sub(a: int, b: int, zh: bool) -> str:
    parts, borrow, pos = [], 0, 0
    names = _COLUMNS["zh" if zh else "en"]
    while a or pos == 0:
        x, y = a % 10, b % 10
        value = x - y - borrow
        left = f"{x} - {y}" + (f" - {borrow}" if borrow else "")
        if value < 0:
            parts.append(f"{names[pos]}: {left}" + ("，借 1，得 " if zh else ", borrow 1, gives ") + str(value + 10))
            borrow = 1
        else:
            parts.append(f"{names[pos]}: {left} = {value}")
            borrow = 0
        a, b, pos = a // 10, b // 10, pos + 1
    return ("。" if zh else ". ").join(parts) + ("。" if zh else ".")


def reasoning(op: str, a: int, b: int, zh: bool = False) -> str:
    """The worked steps of one operation, ending with the result."""
    so = "所以是 {}。" if zh else " So {}."
    if op == "+":
        return f"{a} + {b}" + ("。" if zh else ". ") + _column_add(a, b, zh) + so.format(a + b)
    if op == "-":
        if a < b:
            head = (
                f"{a} 小于 {b}，结果是负数。{b} - {a}。"
                if zh
                else f"{a} is less than {b}, so the result is negative. {b} - {a}. "
            )
            return head + _column_sub(b, a, zh) + so.format(a - b)
        return f"{a} - {b}" + ("。" if zh else ". ") + _column_sub(a, b, zh) + so.format(a - b)
    if a > 12 and b > 12:
        big, small = b // 10 * 10, b % 10
        if not small:
            return (
                f"{a} * {b // 10} = {a * (b // 10)}"
                + ("，" if zh else ", so ")
                + f"{a} * {b} = {a * b}"
                + ("。" if zh else ".")
            )
        mid = "，" if zh else ", so "
        dot = "。" if zh else ". "
        return (
            f"{a} * {b} = {a} * {big} + {a} * {small}{dot}{a} * {b // 10} = {a * (b // 10)}{mid}{a} * {big} = "
            f"{a * big}{dot}{a} * {small} = {a * small}{dot}{a * big} + {a * small} = {a * b}{dot.strip()}"
        )
    x, y = max(a, b), min(a, b)
    if x > 12 and y > 1 and x % 10:
        split = f"{x} * {y} = {x // 10 * 10} * {y} + {x % 10} * {y} = {x // 10 * 10 * y} + {x % 10 * y} = {x * y}"
        return split + ("。" if zh else ".")
    return f"{a} * {b} = {a * b}" + ("。" if zh else ", from the times table.")


def operands(r: Rng, op: str) -> tuple[int, int]:
    """Operands of the sizes that the skill covers."""
    x = r.random()
    if op == "*":
        if x < 0.5:
            return r.randint(0, 12), r.randint(0, 12)
        if x < 0.85:
            a, b = r.randint(10, 99), r.randint(2, 9)
            return (a, b) if r.random() < 0.6 else (b, a)
        return r.randint(11, 99), r.randint(11, 99)
    if x < 0.2:
        top_a = top_b = 20
    elif x < 0.65:
        top_a = top_b = 99
    else:
        top_a, top_b = r.choice(((999, 999), (999, 99), (99, 999), (999, 9)))
    a, b = r.randint(0, top_a), r.randint(0, top_b)
    if op == "-" and a < b and r.random() < 0.8:
        a, b = b, a
    return a, b


_EN = [
    "What is {e}?",
    "What is {e}?",
    "What's {e}?",
    "Calculate {e}.",
    "Compute {e}.",
    "{e}",
    "{e} =",
    "{e} = ?",
    "{e}?",
    "How much is {e}?",
    "Please calculate {e}.",
    "Can you tell me what {e} is?",
    "Solve {e}.",
    "Work out {e}.",
    "Tell me {e}.",
    "What does {e} equal?",
    "What do you get for {e}?",
    "Evaluate {e}.",
    "Give me the result of {e}.",
    "I need to know {e}.",
    "Could you compute {e} for me?",
    "Quick question: what is {e}?",
    "Find {e}.",
    "Do {e}.",
    "What is the result of {e}?",
    "What is the answer to {e}?",
    "Can you do {e}?",
    "Help me with {e}.",
    "Hi, what is {e}?",
    "Hello! What is {e}?",
    "Math question: {e}",
    "what {e}",
    "how much {e}",
    "answer: {e}",
]
_EN_OP = {
    "+": [
        "What is the sum of {a} and {b}?",
        "Add {a} and {b}.",
        "Add {b} to {a}.",
        "Sum {a} and {b}.",
        "What do you get when you add {a} and {b}?",
        "Please add {a} and {b}.",
        "What is {a} added to {b}?",
        "If I add {a} and {b}, what do I get?",
        "What is the total of {a} and {b}?",
    ],
    "-": [
        "Subtract {b} from {a}.",
        "Take {b} away from {a}.",
        "What is the difference between {a} and {b}?",
        "What is {b} less than {a}?",
        "What is left when you take {b} from {a}?",
        "Please subtract {b} from {a}.",
        "What do you get when you subtract {b} from {a}?",
    ],
    "*": [
        "Multiply {a} by {b}.",
        "Multiply {a} and {b}.",
        "What is the product of {a} and {b}?",
        "What do you get when you multiply {a} by {b}?",
        "Please multiply {a} and {b}.",
        "What is {a} multiplied by {b}?",
    ],
}
_WORD_OP = {"+": ("plus", "plus", "and"), "-": ("minus",), "*": ("times", "times", "multiplied by")}
_SYMBOL = {"+": ("+",), "-": ("-",), "*": ("*", "*", "x", "×")}
_ZH = [
    "{e}等于多少？",
    "{e}等于几？",
    "{e}是多少？",
    "请计算{e}。",
    "计算 {e}",
    "{e}=？",
    "{e} = ?",
    "请问{e}等于多少？",
    "算一下{e}。",
    "帮我算{e}。",
    "{e}得多少？",
    "你好，{e}等于多少？",
    "告诉我{e}的结果。",
]
_ZH_OP = {
    "+": ["{a}与{b}的和是多少？", "{a}和{b}加起来是多少？"],
    "-": ["{a}与{b}的差是多少？", "从{a}里减去{b}还剩多少？"],
    "*": ["{a}与{b}的积是多少？", "{a}和{b}相乘等于多少？"],
}
_ZH_WORD = {"+": "加", "-": "减", "*": "乘以"}


def _expression(r: Rng, op: str, a: int, b: int) -> str:
    x = r.random()
    if x < 0.62:
        symbol = r.choice(_SYMBOL[op])
        return f"{a} {symbol} {b}" if symbol == "x" or r.random() < 0.7 else f"{a}{symbol}{b}"
    word = r.choice(_WORD_OP[op])
    if x > 0.88 and a < 100 and b < 100:
        dash = r.choice("- ")
        return f"{words.number_word(a, dash)} {word} {words.number_word(b, dash)}"
    return f"{a} {word} {b}"


def _result(op: str, a: int, b: int) -> int:
    return {"+": a + b, "-": a - b, "*": a * b}[op]


def final_answer(op: str, a: int, b: int, zh: bool = False) -> str:
    """The sentence that the model answers with; a product of two larger numbers shows its two parts."""
    if op == "*" and a > 12 and b > 12 and b % 10:
        big, small = b // 10 * 10, b % 10
        return f"{a} * {b} = {a * big} + {a * small} = {a * b}" + ("。" if zh else ".")
    return f"{a} {op} {b} = {_result(op, a, b)}" + ("。" if zh else ".")


def plain(r: Rng, zh: bool = False) -> Exchange:
    """One question with two operands."""
    op = r.choice("+++--**")
    a, b = operands(r, op)
    if zh:
        if r.random() < 0.15:
            user = r.choice(_ZH_OP[op]).format(a=a, b=b)
        else:
            e = (
                f"{a}{_ZH_WORD[op]}{b}"
                if r.random() < 0.5
                else r.choice(("{a} {s} {b}", "{a}{s}{b}")).format(
                    a=a, b=b, s=r.choice([s for s in _SYMBOL[op] if s != "x"])
                )
            )
            user = r.choice(_ZH).format(e=e)
    elif r.random() < 0.25:
        if op == "-" and a < b:
            a, b = b, a
        user = r.choice(_EN_OP[op]).format(a=a, b=b)
    else:
        user = r.choice(_EN).format(e=_expression(r, op, a, b))
    return answer("arithmetic", "zh" if zh else "en", user, reasoning(op, a, b, zh), final_answer(op, a, b, zh))


def three(r: Rng) -> Exchange:
    """Three operands joined by plus and minus."""
    a, b, c = r.randint(1, 60), r.randint(1, 60), r.randint(1, 30)
    o1, o2 = r.choice("+++-"), r.choice("+++-")
    if o1 == "-" and a < b:
        a, b = b, a
    m = _result(o1, a, b)
    if o2 == "-" and m < c:
        o2 = "+"
    total = _result(o2, m, c)
    e = f"{a} {o1} {b} {o2} {c}"
    think = f"First {a} {o1} {b} = {m}. Then {m} {o2} {c} = {total}."
    return answer("arithmetic", "en", r.choice(_EN).format(e=e), think, f"{e} = {m} {o2} {c} = {total}.")


_STORIES = [
    ("+", "{N} has {a} {o}. {P} buys {b} more. How many {o} does {N} have now?", "{N} has {r} {o}."),
    ("+", "{N} has {a} {o} and {M} has {b} {o}. How many {o} do they have together?", "Together they have {r} {o}."),
    (
        "+",
        "There are {a} {o} in one box and {b} {o} in another box. How many {o} are there in total?",
        "There are {r} {o} in total.",
    ),
    ("+", "{N} found {a} {o} on {d} and {b} {o} on {f}. How many {o} did {N} find?", "{N} found {r} {o}."),
    ("-", "{N} has {a} {o}. {P} gives {b} {o} to {M}. How many {o} are left?", "{N} has {r} {o} left."),
    ("-", "{N} had {a} {o} but lost {b} of them. How many {o} does {N} still have?", "{N} has {r} {o} left."),
    ("-", "There were {a} {o} on the table. {N} took {b} away. How many {o} remain?", "{r} {o} remain."),
    (
        "-",
        "{N} is {a} years old and {M} is {b} years old. How much older is {N} than {M}?",
        "{N} is {r} years older than {M}.",
    ),
    ("*", "{N} has {a} boxes with {b} {o} in each box. How many {o} does {N} have?", "{N} has {r} {o}."),
    ("*", "One of the {o} costs {a} dollars. How much do {b} {o} cost?", "{b} {o} cost {r} dollars."),
    ("*", "There are {a} rows with {b} {o} in each row. How many {o} are there?", "There are {r} {o}."),
]


def word_problem(r: Rng) -> Exchange:
    """A one-step word problem."""
    op, user, reply = r.choice(_STORIES)
    if op == "*":
        a, b = r.randint(2, 12), r.randint(2, 12)
    else:
        top = r.choice((20, 99, 99))
        a, b = r.randint(1, top), r.randint(1, top)
        if op == "-":
            a, b = max(a, b) + 1, min(a, b)
    n, m = r.sample(words.NAMES, 2)
    things = [w + "s" for w in words.OBJECTS if w[-1] not in "shyfz"] + ["apples", "oranges", "books", "cookies"]
    days = r.sample(words.DAYS, 2)
    slots = {
        "N": n,
        "M": m,
        "P": "She" if n in words.FEMALE else "He",
        "o": r.choice(things),
        "a": a,
        "b": b,
        "d": days[0],
        "f": days[1],
        "r": _result(op, a, b),
    }
    name = {"+": "Add", "-": "Subtract", "*": "Multiply"}[op]
    content = reply.format(**slots)
    return answer("arithmetic", "en", user.format(**slots), f"{name}. {reasoning(op, a, b)}", content)


def follow_up(r: Rng, value: int) -> tuple[Exchange, int] | None:
    """A question that goes on from the last result."""
    if not 0 <= value <= 900:
        return None
    op = r.choice("++--*") if 2 <= value <= 30 else r.choice("+-")
    b = r.randint(2, 5) if op == "*" else r.randint(1, 50)
    if op == "-" and b > value:
        op = "+"
    user = r.choice(
        {
            "+": [
                "Now add {b}.",
                "Add {b} to that.",
                "And plus {b}?",
                "What if you add {b}?",
                "Plus {b}?",
                "add {b} more",
            ],
            "-": [
                "Now subtract {b}.",
                "Take {b} away from that.",
                "And minus {b}?",
                "Minus {b}?",
                "subtract {b} from it",
            ],
            "*": ["Now multiply that by {b}.", "Times {b}?", "And multiplied by {b}?", "multiply it by {b}"],
        }[op]
    ).format(b=b)
    think = f"The last result is {value}. {reasoning(op, value, b)}"
    return answer("arithmetic", "en", user, think, final_answer(op, value, b)), _result(op, value, b)


def generate(r: Rng, lang: str) -> list[Exchange]:
    """One to three related exchanges."""
    if lang == "zh":
        return [plain(r, True)]
    x = r.random()
    if x < 0.1:
        return [three(r)]
    if x < 0.22:
        return [word_problem(r)]
    first = plain(r)
    out = [first]
    if r.random() < 0.15:
        value = int(first.steps[0].content.rstrip(".").split("= ")[-1])
        for _ in range(r.randint(1, 2)):
            more = follow_up(r, value)
            if more is None:
                break
            out.append(more[0])
            value = more[1]
    return out
