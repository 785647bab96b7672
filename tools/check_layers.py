#!/usr/bin/env python3
"""Holds the includes of src/ and the link lines of src/CMakeLists.txt to the layers of docs/architecture.md.

Data flows one way: a folder includes its own files and those of the layers below it, never sideways and never up, and
always by the full path from src/. A namespace has one class of a name: the linker keeps one copy of what two classes
both emit (a destructor, a table of virtual functions), and a debug build then runs one's code on the other.
Prints each violation as file:line and exits with 1 if there is any.
`--self-test` breaks every rule in a made-up tree and fails unless each break is reported.
"""

import argparse
import fnmatch
import os
import re
import sys
import tempfile

# What each layer may see besides itself, lowest first. src/CMakeLists.txt says the same in its glimmer_layer() lines.
# A layer that is named here but has no folder yet is ignored.
VISIBLE = {
    "base": "",
    "tensor": "base",
    "quant": "base tensor",
    "format": "base tensor",
    "comm": "base tensor",
    "text": "base",
    "source": "base tensor quant format",
    "kernels": "base tensor",
    "ops": "base tensor comm kernels",
    "model": "base tensor quant comm kernels ops format source",
    "engine": "base tensor quant comm kernels ops format source model",
    "convert": "base tensor quant comm kernels ops format source model",
    "session": "base tensor quant comm kernels ops format source model engine text",
    "library": "base tensor quant comm kernels ops format source model engine text session",
    "serve": "base tensor quant comm kernels ops format source model engine text session",
    "apps": "base tensor quant comm kernels ops format source model engine convert text session serve",
}
VISIBLE = {layer: set(below.split()) for layer, below in VISIBLE.items()}

# Narrower rules for includes: whoever is not named here may not include the folder, though it links with it.
ONLY_INCLUDED_BY = {
    # Files are read by sources and written by conversions; commands compare and write tensors. A model sees a source
    # where it is loaded, and its summary counts names and shapes.
    "format": ["format/*", "source/*", "convert/*", "apps/*"],
    "source": ["source/*", "model/weight_*", "model/weights*", "model/model*", "model/summary*", "engine/importance*", "convert/*",
               "session/*",
               "apps/*"],
}
# serve speaks text, never tensors.
NEVER_INCLUDED_BY = {"serve": {"tensor", "quant", "comm", "kernels", "ops", "format", "source"}}

# A file that is compiled for one instruction set must not share inline functions with the others: the linker keeps one
# copy, and an old processor would crash on it. So, however deep the includes go, these files stay within kernels/, the
# headers named here, and the parts of the standard library that hold nothing but types and intrinsics.
ISA_FILES = "kernels/cpu/*.cc"
ISA_OWN_HEADERS = {"tensor/weight_layout.h"}  # types only
ISA_STANDARD_HEADERS = set(
    "arm_neon.h arm_sve.h bit cfloat climits cmath cstddef cstdint cstring immintrin.h limits span string_view "
    "type_traits utility".split())

SOURCE_SUFFIXES = (".h", ".cc", ".inc", ".cu", ".cuh")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>|(\S+))')
# What may lie between comments and strings, and what is blanked before definitions are looked for.
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|'
                     r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*", re.DOTALL | re.MULTILINE)
NAMESPACE = re.compile(r"(?:inline\s+)?namespace\b\s*([\w:]*)$")
DEFINITION = re.compile(r"(?:class|struct|union|enum(?:\s+(?:class|struct))?)\s+"
                        r"(?:\[\[.*?\]\]\s*|alignas\s*\([^)]*\)\s*)*"
                        r"(\w+)(?:\s+final)?\s*(?::(?!:).*)?$", re.DOTALL)
TEMPLATE = re.compile(r"template\s*<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>")
LAYER_LINE = re.compile(r"\bglimmer_layer\(\s*([^)]*)\)")
LINK_LINE = re.compile(r"\btarget_link_libraries\(\s*glimmer_(\w+)\s+([^)]*)\)")


class Include:
    def __init__(self, line, quoted, angled, macro):
        self.line, self.quoted, self.angled, self.macro = line, quoted, angled, macro


def without_block_comments(text):
    """`text` with the inside of /* */ blanked, so that line numbers stay."""
    return re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=re.DOTALL)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def includes_of(path):
    found = []
    for number, line in enumerate(without_block_comments(read(path)).split("\n"), start=1):
        match = INCLUDE.match(line)
        if match:
            found.append(Include(number, *match.groups()))
    return found


def definitions_in(text):
    """The classes, structs, unions and enums that `text` defines at the scope of a namespace: (line, namespace, name,
    whether within an unnamed namespace)."""
    code = NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    found = []
    scopes = []  # of each open brace: the namespace's name, "" if it has none, or None for a scope of another kind
    begin = 0
    for mark in re.finditer(r"[{};]", code):
        statement = code[begin:mark.start()]
        begin = mark.end()
        if mark.group() == "}" and scopes:
            scopes.pop()
        if mark.group() != "{":
            continue
        statement = TEMPLATE.sub("", statement).strip()
        namespace = NAMESPACE.match(statement)
        if namespace:
            scopes.append(namespace.group(1))
            continue
        definition = DEFINITION.match(statement)
        if definition and None not in scopes:
            line = code.count("\n", 0, mark.start() - len(statement) + statement.find(definition.group(1))) + 1
            within = "::".join(name for name in scopes if name)
            found.append((line, within, definition.group(1), "" in scopes))
        scopes.append(None)
    return found


class Checker:
    def __init__(self, root):
        self.src = os.path.join(root, "src")
        self.violations = []
        self.include_count = 0
        self.files = {}  # path from src/ -> its includes
        for folder, folders, names in os.walk(self.src):
            folders.sort()
            for name in sorted(names):
                if name.endswith(SOURCE_SUFFIXES):
                    path = os.path.join(folder, name)
                    self.files[os.path.relpath(path, self.src).replace(os.sep, "/")] = includes_of(path)

    def report(self, file, line, what):
        self.violations.append(f"src/{file}:{line}: {what}")

    def run(self):
        for file, includes in self.files.items():
            layer = file.split("/")[0]
            if "/" not in file or layer not in VISIBLE:
                self.report(file, 1, f"lies in no layer; the layers are {', '.join(VISIBLE)}")
                continue
            for include in includes:
                self.check_include(file, layer, include)
            if fnmatch.fnmatch(file, ISA_FILES):
                self.check_isa_file(file)
        self.check_names()
        self.check_cmake()
        return self.violations

    def check_names(self):
        """A name that stands in two files of one namespace. What an unnamed namespace holds is its file's own, so that
        two of those do not meet; they still must not hide what a header has."""
        public, hidden = {}, []  # (namespace, name) -> where it is first defined; those in unnamed namespaces
        for file in self.files:
            if file.endswith(".inc"):
                continue  # belongs to the namespace that includes it
            for line, namespace, name, is_unnamed in definitions_in(read(os.path.join(self.src, file))):
                key = (namespace, name)
                if is_unnamed:
                    hidden.append((file, line, key))
                elif key not in public:
                    public[key] = (file, line)
                elif public[key][0] != file:  # one file may choose between two by #if
                    self.report_double(file, line, key, public[key])
        for file, line, key in hidden:
            if key in public and public[key][0].endswith(".h"):
                self.report_double(file, line, key, public[key])

    def report_double(self, file, line, key, other):
        namespace, name = key
        self.report(file, line, f"{namespace}::{name} is defined in src/{other[0]}:{other[1]} too; a namespace has one "
                                f"class of a name")

    def check_include(self, file, layer, include):
        self.include_count += 1
        if include.macro:
            self.report(file, include.line, f"#include {include.macro}: give the path itself")
            return
        if include.angled:
            if include.angled.split("/")[0] in VISIBLE and include.angled in self.files:
                self.report(file, include.line, f"<{include.angled}> is ours: use quotes")
            return
        target = include.quoted
        if target not in self.files:
            self.report(file, include.line, f'"{target}" is not a path from src/ to a source file')
            return
        if target.endswith((".cc", ".cu")):
            self.report(file, include.line, f'"{target}" is compiled by itself: include a header')
        other = target.split("/")[0]
        if other == layer:
            return
        if other not in VISIBLE[layer]:
            sees = ", ".join(sorted(VISIBLE[layer])) or "no other layer"
            self.report(file, include.line, f'"{target}": {layer} does not see {other}; it sees {sees}')
        elif other in NEVER_INCLUDED_BY.get(layer, ()):
            self.report(file, include.line, f'"{target}": {layer} links with {other}, but never includes it')
        elif not any(fnmatch.fnmatch(file, pattern) for pattern in ONLY_INCLUDED_BY.get(other, ["*"])):
            self.report(file, include.line, f'"{target}": only {", ".join(ONLY_INCLUDED_BY[other])} include {other}')

    def check_isa_file(self, start):
        seen, waiting = {start}, [(start, None)]
        while waiting:
            file, through = waiting.pop()
            for include in self.files[file]:
                line = through or include.line  # where the instruction set's own file lets it in
                if include.quoted in self.files and (
                        include.quoted.startswith("kernels/") or include.quoted in ISA_OWN_HEADERS):
                    if include.quoted not in seen:
                        seen.add(include.quoted)
                        waiting.append((include.quoted, line))
                elif include.quoted:
                    self.report(start, line,
                                f'reaches "{include.quoted}": a file for one instruction set stays in kernels/, but '
                                f'for {", ".join(sorted(ISA_OWN_HEADERS))}')
                elif include.angled and include.angled not in ISA_STANDARD_HEADERS:
                    self.report(start, line, f"reaches <{include.angled}>, whose inline functions other files share")

    def check_cmake(self):
        path = os.path.join(self.src, "CMakeLists.txt")
        text = re.sub(r"#[^\n]*", "", read(path))
        declared = {}  # layer -> (line, the layers it names)
        for match in LAYER_LINE.finditer(text):
            name, *below = match.group(1).split()
            declared[name] = (text.count("\n", 0, match.start()) + 1, set(below))
        for match in LINK_LINE.finditer(text):
            if match.group(1) in declared:
                named = {word[len("glimmer_"):] for word in match.group(2).split() if word.startswith("glimmer_")}
                declared[match.group(1)][1].update(named)
        present = {file.split("/")[0] for file in self.files} & set(VISIBLE)
        for layer in sorted(present - set(declared) - {"apps"}):
            self.report("CMakeLists.txt", 1, f"no glimmer_layer({layer} ...), but src/{layer} has sources")
        for layer, (line, below) in declared.items():
            if layer not in VISIBLE:
                self.report("CMakeLists.txt", line, f"glimmer_layer({layer}): no such layer in tools/check_layers.py")
                continue
            linked = set(below).union(*(VISIBLE.get(name, set()) & set(declared) for name in below))
            expected = VISIBLE[layer] & set(declared)
            if linked != expected:
                self.report("CMakeLists.txt", line,
                            f"glimmer_layer({layer}) sees {' '.join(sorted(linked)) or 'nothing'}; "
                            f"expected {' '.join(sorted(expected)) or 'nothing'}")


# ---- self-test ----

CLEAN_CMAKE = """
glimmer_layer(base)
target_link_libraries(glimmer_base PUBLIC fmt::fmt)
glimmer_layer(tensor base)
glimmer_layer(quant tensor)
glimmer_layer(format tensor)
glimmer_layer(text base)
glimmer_layer(source quant format)
glimmer_layer(kernels tensor)
glimmer_layer(ops kernels)
glimmer_layer(model ops source)
glimmer_layer(engine model)
glimmer_layer(convert model)
# glimmer_layer(comment engine)
add_executable(glimmer main.cc)
target_link_libraries(glimmer PRIVATE glimmer_engine glimmer_convert glimmer_text)
"""

CLEAN_TREE = {
    "base/check.h": "#include <string>\n",
    "tensor/tensor.h": '#include "base/check.h"\n',
    "quant/q.h": '#include "tensor/tensor.h"\n',
    "format/file.h": '#include "tensor/tensor.h"\n',
    # Names that do not meet: of other namespaces, of unnamed ones, declared only, within a class, in text and comments.
    "base/names.h": "namespace glimmer {\nclass Stream {};\nstruct Part;\nenum class Kind : char;\n}\n",
    "base/names.cc": "namespace glimmer {\nclass Stream;\nstruct Part { int x = 1'000; };\n"
                     "namespace { struct Run {}; }\n// struct Stream {\n"
                     "const char* text = R\"(struct Stream {)\" \"class Stream {\";\n}\n",
    "base/other.cc": "namespace glimmer {\nstruct Run2 { struct Part {}; };\nnamespace { struct Run {}; }\n"
                     "struct Part make(struct Part part) { struct Stream {}; return part; }\n"
                     "#define STREAM class Stream { \\\n  struct Part {\ntemplate <> struct Hash<Part> {};\n}\n",
    "base/conv.h": "namespace glimmer::convert { class Stream {}; }\nnamespace other { enum Kind { kA }; }\n",
    "text/bpe.h": '#include "base/check.h"\n// #include "engine/run.h"\n/*\n#include "engine/run.h"\n*/\n',
    "tensor/weight_layout.h": "#include <cstdint>\n",
    "kernels/table.h": '#include <cstdint>\n#include "tensor/weight_layout.h"\n',
    "kernels/cpu/body.inc": '#include "kernels/table.h"\n',
    "kernels/cpu/x86/cpu_avx2.cc": '#include <immintrin.h>\n#include "kernels/cpu/body.inc"\n',
    "kernels/dispatch.cc": '#include <vector>\n#include "base/check.h"\n#include "kernels/table.h"\n',
    "source/open.h": '#include "format/file.h"\n#include "quant/q.h"\n',
    "ops/op.h": '#include "kernels/table.h"\n',
    "model/weights.cc": '#include "source/open.h"\n#include "ops/op.h"\n',
    "model/model.h": '#include "ops/op.h"\n',
    "model/layers/mla.h": '#include "model/model.h"\n',
    "engine/run.h": '#include "model/model.h"\n',
    "convert/plan.h": '#include "model/model.h"\n#include "source/open.h"\n#include "format/file.h"\n',
    "apps/main.cc": '#include "engine/run.h"\n#include "text/bpe.h"\n#include "format/file.h"\n',
}

# name, what to write over the clean tree, the violations that must be reported: (file:line, part of the message)
BROKEN_TREES = [
    ("up", {"base/check.h": '#include <string>\n#include "tensor/tensor.h"\n'},
     [("base/check.h:2", "base does not see tensor")]),
    ("far up", {"tensor/tensor.h": '\n\n  #  include "engine/run.h"\n'},
     [("tensor/tensor.h:3", "tensor does not see engine")]),
    ("sideways", {"quant/q.h": '#include "format/file.h"\n'}, [("quant/q.h:1", "quant does not see format")]),
    ("text is for serve and apps", {"engine/run.h": '#include "text/bpe.h"\n'},
     [("engine/run.h:1", "engine does not see text")]),
    ("text sees no tensors", {"text/bpe.h": '#include "tensor/tensor.h"\n'},
     [("text/bpe.h:1", "text does not see tensor")]),
    ("kernels see no quant", {"kernels/dispatch.cc": '#include "quant/q.h"\n'},
     [("kernels/dispatch.cc:1", "kernels does not see quant")]),
    ("ops see no format", {"ops/op.h": '#include "format/file.h"\n'}, [("ops/op.h:1", "ops does not see format")]),
    ("ops see no quant", {"ops/op.h": '#include "quant/q.h"\n'}, [("ops/op.h:1", "ops does not see quant")]),
    ("source sees no model", {"source/open.h": '#include "model/model.h"\n'},
     [("source/open.h:1", "source does not see model")]),
    ("engine and convert do not see each other", {"convert/plan.h": '#include "engine/run.h"\n'},
     [("convert/plan.h:1", "convert does not see engine")]),
    ("model sees no format", {"model/weights.cc": '#include "format/file.h"\n'},
     [("model/weights.cc:1", "only format/*, source/*")]),
    ("model sees sources where it loads them only", {"model/layers/mla.h": '#include "source/open.h"\n'},
     [("model/layers/mla.h:1", "only source/*")]),
    ("not in a layer file either", {"model/layers/mla.h": '#include "format/file.h"\n'},
     [("model/layers/mla.h:1", "only format/*")]),
    ("engine does not read files", {"engine/run.h": '#include "format/file.h"\n'},
     [("engine/run.h:1", "only format/*")]),
    ("serve speaks no tensors", {"serve/http.h": '#include "tensor/tensor.h"\n',
                                 "CMakeLists.txt": CLEAN_CMAKE + "glimmer_layer(serve engine text)\n"},
     [("serve/http.h:1", "never includes it")]),
    ("after a comment", {"base/check.h": '/* a\n b */ \n#include "tensor/tensor.h"\n'},
     [("base/check.h:3", "base does not see tensor")]),
    ("relative path", {"base/error.h": "", "base/check.h": '#include "error.h"\n'},
     [("base/check.h:1", "not a path from src/")]),
    ("parent path", {"tensor/tensor.h": '#include "../base/check.h"\n'},
     [("tensor/tensor.h:1", "not a path from src/")]),
    ("angle brackets", {"base/error.h": "#include <tensor/tensor.h>\n"}, [("base/error.h:1", "use quotes")]),
    ("macro", {"base/error.h": "#include HEADER\n"}, [("base/error.h:1", "give the path itself")]),
    ("a .cc file", {"tensor/t.cc": "", "tensor/tensor.h": '#include "tensor/t.cc"\n'},
     [("tensor/tensor.h:1", "include a header")]),
    ("no such file", {"base/check.h": '#include "base/gone.h"\n'}, [("base/check.h:1", "not a path from src/")]),
    ("unknown folder", {"misc/x.h": ""}, [("misc/x.h:1", "lies in no layer")]),
    ("file in no folder", {"x.h": ""}, [("x.h:1", "lies in no layer")]),
    ("ISA file sees tensor", {"kernels/cpu/x86/cpu_avx2.cc": '\n#include "tensor/tensor.h"\n'},
     [("kernels/cpu/x86/cpu_avx2.cc:2", 'reaches "tensor/tensor.h"')]),
    ("ISA file sees tensor through a header", {"kernels/table.h": '#include <cstdint>\n#include "tensor/tensor.h"\n'},
     [("kernels/cpu/x86/cpu_avx2.cc:2", 'reaches "tensor/tensor.h"')]),
    ("ISA file shares inline functions of a layout", {"tensor/weight_layout.h": "#include <vector>\n"},
     [("kernels/cpu/x86/cpu_avx2.cc:2", "reaches <vector>")]),
    ("ISA file shares inline functions", {"kernels/cpu/body.inc": "#include <vector>\n"},
     [("kernels/cpu/x86/cpu_avx2.cc:2", "reaches <vector>")]),
    ("one name for two classes",
     {"base/check.h": "#include <string>\nnamespace glimmer {\nclass Flow {\n};\n}\n",
      "text/bpe.h": "namespace glimmer {\nstruct A { struct Flow {}; };\n"
                    "template <class T>\nclass Flow final : public A {};\n}\n"},
     [("text/bpe.h:4", "glimmer::Flow is defined in src/base/check.h:3 too")]),
    ("one name in a header and a .cc file",
     {"base/check.h": "namespace glimmer::text { enum class Kind : int { kA }; }\n",
      "text/bpe.cc": "namespace glimmer {\nnamespace text {\nenum Kind { a };\n}}\n"},
     [("text/bpe.cc:3", "glimmer::text::Kind is defined in src/base/check.h:1 too")]),
    ("one name in two .cc files", {"base/a.cc": "namespace glimmer {\nstruct [[nodiscard]] Flags {};\n}\n",
                                   "base/b.cc": "namespace glimmer {\n\nstruct alignas(64) Flags {\n};\n}\n"},
     [("base/b.cc:3", "glimmer::Flags is defined in src/base/a.cc:2 too")]),
    ("a file hides a header's name", {"base/check.h": "namespace glimmer { struct Flags {}; }\n",
                                      "base/a.cc": "namespace glimmer {\nnamespace {\nstruct Flags {};\n}\n}\n"},
     [("base/a.cc:3", "glimmer::Flags is defined in src/base/check.h:1 too")]),
    ("link up", {"CMakeLists.txt": CLEAN_CMAKE.replace("(tensor base)", "(tensor base text)")},
     [("CMakeLists.txt:4", "glimmer_layer(tensor) sees base text; expected base")]),
    ("link sideways by the back door",
     {"CMakeLists.txt": CLEAN_CMAKE + "target_link_libraries(glimmer_quant PRIVATE glimmer_format)\n"},
     [("CMakeLists.txt:5", "glimmer_layer(quant) sees base format tensor")]),
    ("link missing", {"CMakeLists.txt": CLEAN_CMAKE.replace("(model ops source)", "(model ops)")},
     [("CMakeLists.txt:11", "expected base format kernels ops quant source tensor")]),
    ("layer missing", {"CMakeLists.txt": CLEAN_CMAKE.replace("glimmer_layer(text base)\n", "")},
     [("CMakeLists.txt:1", "no glimmer_layer(text")]),
    ("layer unknown", {"CMakeLists.txt": CLEAN_CMAKE + "glimmer_layer(misc base)\n"},
     [("CMakeLists.txt:17", "no such layer")]),
]


def check_tree(files):
    with tempfile.TemporaryDirectory() as root:
        for file, text in files.items():
            path = os.path.join(root, "src", file)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        return Checker(root).run()


def self_test():
    clean = {"CMakeLists.txt": CLEAN_CMAKE, **CLEAN_TREE}
    failures = [f"clean tree: {violation}" for violation in check_tree(clean)]
    for name, changes, expected in BROKEN_TREES:
        violations = check_tree({**clean, **changes})
        for place, message in expected:
            if not any(v.startswith(f"src/{place}: ") and message in v for v in violations):
                failures.append(f"{name}: expected src/{place}: ...{message}..., reported {violations}")
        unexpected = [v for v in violations if not any(v.startswith(f"src/{place}: ") for place, _ in expected)]
        failures += [f"{name}: not expected: {v}" for v in unexpected]
    for failure in failures:
        print(f"self-test: {failure}")
    print(f"layers: self-test of {len(BROKEN_TREES)} broken trees, {len(failures)} failures")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--self-test", action="store_true", help="check the checker")
    if parser.parse_args().self_test:
        return self_test()
    checker = Checker(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    violations = checker.run()
    for violation in violations:
        print(violation)
    print(f"layers: {checker.include_count} includes in {len(checker.files)} files, {len(violations)} violations")
    if not checker.include_count:
        print("layers: found nothing to check")
    return 1 if violations or not checker.include_count else 0


if __name__ == "__main__":
    sys.exit(main())
