#!/bin/bash
# The layers may only use what lies below them (docs/architecture.md, "Who may include whom").
# Prints each include that points the wrong way; exit status 1 if there is one.
set -u
cd "$(dirname "$0")/.." || exit 2

# layer of a file -> the folders it may name in #include "..."
allowed() {
	case $1 in
	sentry/base/*) echo "sentry/base" ;;
	vfs/*) echo "sentry/base vfs" ;;
	devfuse/*) echo "sentry/base vfs devfuse" ;;
	fusefs/*) echo "sentry/base vfs devfuse fusefs" ;;
	sentry/cli/* | sentry/main.c) echo "sentry vfs devfuse fusefs syscalls" ;;
	sentry/loader/*) echo "sentry/loader" ;;
	sentry/*) echo "sentry vfs" ;;
	syscalls/*) echo "sentry vfs syscalls" ;;
	esac
}

status=0
while IFS=: read -r file _ line; do
	target=${line#*\"}
	target=${target%%\"*}
	ok=no
	for folder in $(allowed "$file"); do
		case $target in "$folder"/*) ok=yes ;; esac
	done
	case $file in
	sentry/cli/* | sentry/main.c) ;;
	sentry/*) case $target in sentry/cli/*) ok=no ;; esac ;;
	esac
	case $target in */*) ;; *) ok=no ;; esac # an include names its folder
	case $target in
	fusefs/fusefs.h) case $file in fusefs/*) ;; *) ok=no ;; esac ;;
	*_internal.h) [ "${target%/*}" = "$(dirname "$file")" ] || ok=no ;;
	esac
	if [ $ok = no ]; then
		echo "$file includes \"$target\", which its layer may not"
		status=1
	fi
done < <(grep -rn --include='*.[ch]' '^#include "' sentry vfs devfuse fusefs syscalls)
exit $status
