# SPDX-License-Identifier: Apache-2.0
"""What a compiler does not check about the tree. Usage: check_tree.py SOURCE_ROOT BUILD_ROOT CHECK

includes   every #include keeps to the table of folders below (ARCHITECTURE.md, "Layers")
headers    every header compiles alone
symbols    everything with external linkage begins with dv_
tour       ARCHITECTURE.md names every folder of src, and no other
paths      no absolute path of a developer's machine in any file
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1])
BUILD = pathlib.Path(sys.argv[2])

# Folder: our folders it may include; outside headers that are allowed only there.
UNDER_ALL = ["pack", "spec", "base"]
FOLDERS = {
    "base": (["base"], ["jansson.h", "sodium.h", "seccomp.h"]),
    "spec": (["spec", "base"], []),
    "pack": (UNDER_ALL, []),
    "wire": (["wire", *UNDER_ALL], []),
    "data": (["data", *UNDER_ALL], ["zlib.h", "jpeglib.h", "jerror.h", "spng.h", "webp/", "gif_lib.h"]),
    "nn": (["nn", *UNDER_ALL], ["omp.h"]),
    "nn/backend/onednn": (["nn", *UNDER_ALL], ["dnnl.h", "omp.h"]),
    "format": (["format", *UNDER_ALL], []),
    "train": (["train", "data", "nn", "format", "wire", *UNDER_ALL], []),
    "store": (["store", *UNDER_ALL], []),
    "store/driver": (["store", *UNDER_ALL], ["sqlite3.h", "libpq-fe.h"]),
    "job": (["job", "store", "wire", *UNDER_ALL], []),
    "http": (["http", "base"], ["microhttpd.h"]),
    "api": (["api", "job", "store", "http", "wire", *UNDER_ALL], []),
    "client": (["client", "base"], ["curl/curl.h"]),
    "llm": (["llm", "base"], ["curl/curl.h"]),
    "app": (["app", "api", "client", "llm", "job", "store", "http", "train", "data", "nn", "format", "wire", *UNDER_ALL], []),
}
LIBC = re.compile(r"^(linux|sys|netinet|arpa)/|^(assert|ctype|dirent|endian|errno|fcntl|fenv|float|fts|ftw|getopt|inttypes|"
                  r"limits|locale|math|poll|pthread|sched|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|"
                  r"stdint|stdio|stdlib|string|strings|termios|time|unistd|netdb)\.h$")


def sources(*patterns):
    for pattern in patterns:
        yield from sorted((ROOT / "src").rglob(pattern))


def folder_rules(path):
    place = path.relative_to(ROOT / "src").parent.as_posix()
    while place and place not in FOLDERS:
        place = place.rpartition("/")[0]
    return FOLDERS.get(place)


def check_includes():
    for path in sources("*.c", "*.h"):
        rules = folder_rules(path)
        if rules is None:
            yield f"{path}: a folder that the table does not know"
            continue
        for line in path.read_text().splitlines():
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not match:
                continue
            kind, name = match.groups()
            if kind == '"' and name.split("/")[0] not in rules[0]:
                yield f"{path}: may not include {name}"
            elif kind == "<" and not LIBC.match(name) and not any(name.startswith(p) for p in rules[1]):
                yield f"{path}: may not include <{name}>"


def check_headers():
    for path in sources("*.h"):
        command = ["cc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "src"),
                   "-fsyntax-only", "-x", "c", "-"]
        text = f'#include "{path.relative_to(ROOT / "src")}"\n'
        result = subprocess.run(command, input=text, text=True, capture_output=True)
        if result.returncode:
            yield f"{path}: does not compile alone\n{result.stderr}"


def check_symbols():
    for library in sorted(BUILD.rglob("libdv-*.a")):
        result = subprocess.run(["nm", "-g", "--defined-only", str(library)], text=True, capture_output=True, check=True)
        for line in result.stdout.splitlines():
            parts = line.split()
            hidden = ("dv_", "__asan", "__ubsan", "__odr_asan", "_GLOBAL_", "asan.", "__start", "__stop")
            if len(parts) == 3 and not parts[2].startswith(hidden):
                yield f"{library.name}: {parts[2]} does not begin with dv_"


def check_tour():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`src/([a-z]+)`", text))
    there = {path.name for path in (ROOT / "src").iterdir() if path.is_dir()}
    for name in sorted(named ^ there):
        yield f"ARCHITECTURE.md and src disagree about src/{name}"


def check_paths():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True)
    pattern = re.compile(r"(?<![\w./])/(home|root|work)/[a-z]")
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if name and path.is_file():
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if pattern.search(line):
                    yield f"{name}:{number}: an absolute path of some machine"


CHECKS = {"includes": check_includes, "headers": check_headers, "symbols": check_symbols, "tour": check_tour,
          "paths": check_paths}

if __name__ == "__main__":
    complaints = list(CHECKS[sys.argv[3]]())
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)
