#!/bin/bash
# docs/syscalls.md and docs/fuse-features.md are printed by the program from its own tables, and the
# rules of the FUSE protocol with their tests by tests/fuse/rules.sh; the copies in the tree must be
# those. `tests/check_docs.sh --update` writes them.
set -u
cd "$(dirname "$0")/.." || exit 2
fusebox=${FUSEBOX:-build/release/fusebox}
status=0
page=$(mktemp) || exit 2
trap 'rm -f "$page"' EXIT
syscalls() {
	"$fusebox" --list-syscalls
}
fuse_features() {
	"$fusebox" --list-fuse && tests/fuse/rules.sh
}
for doc in syscalls fuse-features; do
	file=docs/$doc.md
	${doc/-/_} >"$page" || status=1
	if [ "${1:-}" = --update ]; then
		cat "$page" >"$file"
	elif ! diff -u "$file" "$page"; then
		echo "$file is out of date: run tests/check_docs.sh --update"
		status=1
	fi
done
# Files that the hand-written pages name exist.
while IFS=: read -r page file; do
	[ -e "$file" ] && continue
	echo "$page names $file, which is not there"
	status=1
done < <(grep -oE '\b(sentry|vfs|devfuse|fusefs|syscalls|tests|docs)/[a-zA-Z0-9_./-]*\.(c|h|sh|md|scd)\b' \
	README.md docs/*.md | sort -u)
exit $status
