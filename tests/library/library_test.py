"""libglimmer.so: what it shows, and the examples built against it where it is installed."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = os.environ["GLIMMER_LIBRARY"]
BUILD = os.environ["GLIMMER_BUILD"]
DEMO = str(ROOT / "models/demo")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_it_shows_its_functions_and_nothing_else():
    shown = {line.split()[-1] for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines()}
    listed = (ROOT / "src/library/symbols.txt").read_text().split()
    assert listed == sorted(listed)
    assert shown == set(listed)


def test_the_header_declares_what_is_listed():
    header = (ROOT / "include/glimmer/glimmer.h").read_text()
    for name in (ROOT / "src/library/symbols.txt").read_text().split():
        assert name + "(" in header, name


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", prefix, "--component", "library")
    return prefix


def libraries_of(prefix):
    return next(prefix.glob("lib*/**/libglimmer.so")).parent


def test_examples_by_cmake(installed, tmp_path):
    run("cmake", "-S", ROOT / "examples", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path)
    assert "42" in run(tmp_path / "hello", DEMO, "What is 17 + 25?")
    answers = run(tmp_path / "chat", DEMO, input="What is 17 + 25?\nAnd what is 2 + 3?\n").splitlines()
    assert len(answers) >= 2 and "42" in answers[0]


def test_examples_by_pkg_config(installed, tmp_path):
    libraries = libraries_of(installed)
    env = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "LD_LIBRARY_PATH": str(libraries)}
    flags = run("pkg-config", "--cflags", "--libs", "glimmer", env=env).split()
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    run("cc", "-std=c99", *strict, ROOT / "examples/hello.c", "-o", tmp_path / "hello", *flags)
    run("c++", "-std=c++17", *strict, ROOT / "examples/chat.cc", "-o", tmp_path / "chat", *flags)
    assert "42" in run(tmp_path / "hello", DEMO, "What is 17 + 25?", env=env)
    assert "42" in run(tmp_path / "chat", DEMO, input="What is 17 + 25?\n", env=env)


@pytest.mark.parametrize("prefix", ["/usr", "/usr/local", "/opt/glimmer"])
def test_the_pkg_config_file_finds_its_prefix(prefix, tmp_path):
    """Debian's library folder is lib/x86_64-linux-gnu in /usr, and lib elsewhere."""
    libraries = "lib/" + os.uname().machine + "-linux-gnu" if prefix == "/usr" else "lib"
    script = tmp_path / "configure.cmake"
    script.write_text(f"""
        set(CMAKE_INSTALL_PREFIX {prefix})
        set(CMAKE_INSTALL_LIBDIR {libraries})
        set(CMAKE_INSTALL_FULL_LIBDIR {prefix}/{libraries})
        set(CMAKE_INSTALL_INCLUDEDIR include)
        set(PROJECT_VERSION 1.2.3)
        set(pkg_config_file {tmp_path}{prefix}/{libraries}/pkgconfig/glimmer.pc)
        include({ROOT}/src/library/pkg_config.cmake)
    """)
    run("cmake", "-P", script)
    place = tmp_path / prefix[1:]
    env = {**os.environ, "PKG_CONFIG_PATH": str(place / libraries / "pkgconfig")}
    assert os.path.normpath(run("pkg-config", "--variable=prefix", "glimmer", env=env).strip()) == str(place)
    assert os.path.normpath(run("pkg-config", "--variable=libdir", "glimmer", env=env).strip()) == str(place / libraries)


def test_examples_say_what_is_wrong(installed, tmp_path):
    run("cmake", "-S", ROOT / "examples", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path)
    for program in ("hello", "chat"):
        arguments = [tmp_path / program, tmp_path / "nowhere"] + (["x"] if program == "hello" else [])
        done = subprocess.run(arguments, capture_output=True, text=True, input="x\n", timeout=60)
        assert done.returncode == 1
        assert "nowhere" in done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Python package, installed by pip into a folder, with the library that was built."""
    source = tmp_path_factory.mktemp("source") / "python"
    shutil.copytree(ROOT / "python", source)
    target = tmp_path_factory.mktemp("packages")
    run("/usr/bin/python3", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet", "--target", target,
        source, env={**os.environ, "GLIMMER_LIBRARY": LIBRARY})
    return target


def test_the_wheel_is_of_any_python(package):
    tags = next(package.glob("glimmer_runtime-*.dist-info/WHEEL")).read_text()
    assert "Tag: py3-none-linux_" in tags


def test_python(package):
    env = {**os.environ, "PYTHONPATH": str(package), "GLIMMER_DEMO": DEMO}
    env.pop("GLIMMER_LIBRARY")
    run("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", ROOT / "python/tests", env=env)


def test_bad_arguments_are_errors_not_crashes():
    import ctypes

    library = ctypes.CDLL(LIBRARY)
    library.glimmer_last_error.restype = ctypes.c_char_p
    usage, not_found, limit = 1, 2, 6
    model = ctypes.c_void_p()
    count = ctypes.c_size_t()

    def said(part):
        return part in library.glimmer_last_error().decode()

    assert library.glimmer_model_load(None, None, ctypes.byref(model)) == usage and said("path is null")
    assert library.glimmer_model_load(DEMO.encode(), None, None) == usage and said("model is null")
    assert library.glimmer_model_load(b"/nowhere", None, ctypes.byref(model)) == not_found and said("/nowhere")
    wrong = (ctypes.c_char * 256)()  # struct_size 0: not initialised
    assert library.glimmer_model_load(DEMO.encode(), wrong, ctypes.byref(model)) == usage and said("struct_size is 0")
    assert library.glimmer_tokenize(None, b"x", 1, 0, None, 0, ctypes.byref(count)) == usage
    assert library.glimmer_generation_next(None, None) == usage
    for nothing in (library.glimmer_model_free, library.glimmer_generation_free, library.glimmer_generation_cancel):
        nothing(None)

    older = (ctypes.c_size_t * 32)()  # of a header that ended behind its third field
    older[0] = 4 * ctypes.sizeof(ctypes.c_size_t)
    assert library.glimmer_model_load(DEMO.encode(), older, ctypes.byref(model)) == 0
    ids = (ctypes.c_int32 * 2)()
    text = b"one two three four five six"
    assert library.glimmer_tokenize(model, text, len(text), 0, ids, 2, ctypes.byref(count)) == limit
    assert count.value > 2 and ids[0] != ids[1] and said("room for 2")
    assert library.glimmer_tokenize(model, None, 5, 0, ids, 2, ctypes.byref(count)) == usage
    library.glimmer_model_free(model)
