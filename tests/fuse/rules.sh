#!/bin/bash
# Which test proves which rule of the protocol: the last part of docs/fuse-features.md, on stdout.
# The rules stand in tests/fuse/rules.txt; the tests name them as docs/testing.md says. Complains on
# stderr, and fails, when a test names a rule that does not exist, when a rule has neither test nor
# reason, and when it has a test though it is said to be impossible.
set -u
cd "$(dirname "$0")/../.." || exit 2
find tests -name '*.c' -o -name '*.sh' -o -name '*.py' | sort |
	xargs awk '
function complain(text) { print text >"/dev/stderr"; status = 1 }

# --- rules.txt
function read_rules(line, part, section) {
	while ((getline line <"tests/fuse/rules.txt") > 0) {
		if (line ~ /^## /) {
			section = substr(line, 4)
		} else if (line ~ /^[A-Z][0-9]/) {
			split(line, part, / \| /)
			ids[++rules] = part[1]
			what[part[1]] = part[2]
			reason[part[1]] = part[3]
			sections[part[1]] = section
			letters[substr(part[1], 1, 1)] = 1
		}
	}
}

# --- what a test names
function note(id, test) {
	if (!(substr(id, 1, 1) in letters))
		return
	if (!(id in what))
		complain(FILENAME ":" FNR ": there is no rule " id " in tests/fuse/rules.txt")
	else if (test == "")
		pending[id] = 1
	else if (!((id, test) in noted)) {
		noted[id, test] = 1
		if (last[id] != FILENAME)
			found[id] = found[id] (found[id] == "" ? "" : "; ") FILENAME (test == FILENAME ? "" : ": ")
		else
			found[id] = found[id] ", "
		last[id] = FILENAME
		if (test != FILENAME)
			found[id] = found[id] test
	}
}
function names(text, test, word, n, i, ends) {
	n = split(text, word, /[^A-Za-z0-9-]+/)
	for (i = 1; i <= n; i++) {
		if (word[i] ~ /^[A-Z][0-9][0-9]+$/) {
			note(word[i], test)
		} else if (word[i] ~ /^[A-Z][0-9][0-9]+-[A-Z][0-9][0-9]+$/) {
			split(word[i], ends, /-/)
			range(ends[1], ends[2], test)
		}
	}
}
function range(from, to, test, i, inside) {
	note(from, test)
	note(to, test)
	for (i = 1; i <= rules; i++) {
		if (inside && ids[i] != to && substr(ids[i], 1, 1) == substr(from, 1, 1))
			note(ids[i], test)
		inside = ids[i] == to ? 0 : ids[i] == from ? 1 : inside
	}
}
# The comments of a line of C; in_comment lasts over lines.
function comments(line, text, at) {
	for (;;) {
		at = index(line, in_comment ? "*/" : "/*")
		if (in_comment)
			text = text " " (at ? substr(line, 1, at - 1) : line)
		if (!at)
			return text
		line = substr(line, at + 2)
		in_comment = !in_comment
	}
}
function begins(name, id) { # the test whose head is complete in `head`
	sub(/^[A-Za-z]*\([^,]*,[ \t]*/, "", name)
	sub(/[^A-Za-z0-9_].*/, "", name)
	test = name
	gsub(/_/, " ", name)
	names(name, test)
	for (id in pending)
		note(id, test)
	split("", pending)
	head = ""
}
function c_line(text, commented) {
	commented = in_comment
	text = comments($0)
	if (!commented && /^(Parameterized)?Test\(/)
		head = " "
	if (head != "") {
		head = head == " " ? $0 : head $0
		if (head ~ /,[ \t]*[A-Za-z0-9_]+/)
			begins(head)
	} else if (!commented && test == "" && !/^(\/\*|Test|Param)/) {
		split("", pending) # something else stands between comment and test
	}
	names(text, test)
	if (/^}/)
		test = ""
}
FNR == 1 {
	in_comment = 0
	head = ""
	split("", pending)
	cmd = "grep -qE \"^(Parameterized)?Test\\(\" " FILENAME
	test = FILENAME ~ /\.c$/ && system(cmd) == 0 ? "" : FILENAME
	alone = test != ""
}
FILENAME == "tests/fuse/rules.sh" { next }
FILENAME !~ /\.c$/ { if (match($0, /(^|[ \t])#.*/)) names(substr($0, RSTART), test); next }
alone { names(comments($0), FILENAME); next }
{ c_line() }

# --- the page
BEGIN { read_rules() }
function cell(id, tested, kind) {
	tested = found[id] != ""
	kind = reason[id]
	sub(/:.*/, "", kind)
	if (kind == "no test yet" && tested)
		kind = reason[id] = ""
	if (kind !~ /^(|not built|not ours|not seen|partly|no test yet)$/)
		complain("tests/fuse/rules.txt: " id ": " kind " is no kind of reason")
	if (!tested && (kind == "" || kind == "partly"))
		complain("rule " id " has no test, and no reason why")
	if (tested && kind ~ /^not /)
		complain("rule " id " is tested by " found[id] ", but said to be " kind)
	count[kind]++
	return found[id] (tested && kind != "" ? "; " : "") reason[id]
}
END {
	for (i = 1; i <= rules; i++) {
		id = ids[i]
		if (sections[id] != section) {
			section = sections[id]
			page = page "\n### " section "\n\n| id | rule | tests |\n|---|---|---|\n"
		}
		page = page "| " id " | " what[id] " | " cell(id) " |\n"
	}
	printf "\n## Rules and their tests\n\n"
	printf "Every rule of the protocol, from tests/fuse/rules.txt, and the tests that name it.\n"
	printf "Of %d rules %d are tested, %d in part; %d cannot be seen by a daemon or client, %d bind others\n",
		rules, count[""], count["partly"], count["not seen"], count["not ours"]
	printf "than the kernel, %d are not built, %d have no test yet.\n", count["not built"], count["no test yet"]
	printf "%s", page
	exit status
}'
