#!/usr/bin/env python3
"""
Chooses of the inputs that libFuzzer has gathered those few that add most to the code that is reached,
for tests/fuzz/corpus.

	tests/fuzz/reduce.py NAME [MOST]	of build/fuzz/corpus/NAME and what is there; MOST is 40
"""
import hashlib
import os
import subprocess
import sys
import tempfile


def additions(name, inputs):
    """{path: how many places it reaches that no smaller input does}: the record of a merge."""
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(tmp + "/out")
        subprocess.run([f"build/fuzz/tests/fuzz_{name}", "-merge=1", f"-merge_control_file={tmp}/record",
                        tmp + "/out", *inputs], check=True, stderr=subprocess.DEVNULL)
        with open(tmp + "/record") as record:
            lines = record.read().splitlines()
    count = int(lines[0])
    files = lines[2:2 + count]
    added = {}
    for line in lines[2 + count:]:
        word, number, *places = line.split()
        if word == "COV" and places:
            added[files[int(number)]] = len(places)
    return added


def main():
    name, most = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
    place = f"tests/fuzz/corpus/{name}"
    kept = [path for path in os.listdir(place) if len(path) != 12] if os.path.isdir(place) else []
    os.makedirs(place, exist_ok=True)
    added = additions(name, [place, f"build/fuzz/corpus/{name}"])
    chosen = sorted(added, key=added.get, reverse=True)[:most]
    contents = [open(path, "rb").read() for path in chosen]
    for path in os.listdir(place):
        if path not in kept:  # what has a name of its own stays
            os.unlink(f"{place}/{path}")
    for content in contents:
        with open(f"{place}/{hashlib.sha1(content).hexdigest()[:12]}", "wb") as out:
            out.write(content)
    print(f"{name}: {len(chosen)} inputs, {sum(map(len, contents))} bytes")


main()
