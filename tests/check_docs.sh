#!/bin/bash
# docs/syscalls.md and docs/fuse-features.md are printed by the program from its own tables;
# the copies in the tree must be those. `tests/check_docs.sh --update` writes them.
set -u
cd "$(dirname "$0")/.." || exit 2
fusebox=${FUSEBOX:-build/release/fusebox}
status=0
for doc in syscalls fuse; do
	file=docs/syscalls.md
	[ $doc = fuse ] && file=docs/fuse-features.md
	if [ "${1:-}" = --update ]; then
		"$fusebox" --list-$doc >"$file" || status=1
	elif ! diff -u "$file" <("$fusebox" --list-$doc); then
		echo "$file is out of date: run tests/check_docs.sh --update"
		status=1
	fi
done
# The test named for an opcode is there and has to do with it.
while IFS='|' read -r _ _ name _ _ _ test _; do
	name=${name// /} test=${test// /}
	[ -n "$test" ] && [ "$test" != test ] && [ "$test" != --- ] || continue
	words=FUSE_$name
	case $name in *FORGET) words=daemon_forgotten ;; CUSE_*) words=$name ;; esac
	grep -qw "$words" "tests/fuse/$test.c" && continue
	echo "docs/fuse-features.md: tests/fuse/$test.c does not test $name"
	status=1
done < <(sed -n '/^## Opcodes/,/^## INIT/p' docs/fuse-features.md | grep '^|')
# Files that the hand-written pages name exist.
while IFS=: read -r page file; do
	[ -e "$file" ] && continue
	echo "$page names $file, which is not there"
	status=1
done < <(grep -oE '\b(sentry|vfs|devfuse|fusefs|syscalls|tests|docs)/[a-zA-Z0-9_./-]*\.(c|h|sh|md|scd)\b' \
	README.md docs/*.md | sort -u)
exit $status
