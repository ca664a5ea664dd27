#!/bin/bash
# Golden traces: the requests that one daemon gets for the steps of one client (tests/golden/fuse.c,
# names.c), recorded from Linux 6.18 in tests/golden/*.txt, are those that it gets in the sandbox. As root with
# a /dev/fuse the recordings are checked against this machine's kernel, too; --record writes them.
# Not in the text: pid, fh, lock owners (numbers of chance), and INIT.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

traces=( # NAME FLAGS SECONDS, of tests/golden/fuse.c
	"plain 0 0"
	"cached 0x4009 3600"
	"libfuse 0x47029 3600"
	"locks 0x4742b 3600"
	"killpriv 0x10047029 3600"
	"revalidated 0x4742b 0"
)
names=( # of tests/golden/names.c
	"names-plain 0x40000000 0"
	"names-all 0x60900010 3600"
	"names-revalidated 0x60901010 0"
	"names-autoinval 0x60901010 3600"
	"names-noexport 0x4060900010 3600"
)
gcc -w -O1 -o "$tmp/fuse" tests/golden/fuse.c && gcc -w -O1 -o "$tmp/names" tests/golden/names.c || exit 1
native() { # PROGRAM FLAGS SECONDS
	mkdir -p "$tmp/m"
	timeout -k 2 30 "$tmp/$1" "$tmp/m" "$2" "$3"
}
sandbox() {
	box --user 0 --bind "$tmp/$1:/golden:ro" --tmpfs /w -- sh -c "mkdir /w/m; /golden /w/m $2 $3"
}
for trace in "${traces[@]}" "${names[@]}"; do
	read -r name flags seconds <<<"$trace"
	program=fuse
	[[ $name == names-* ]] && program=names
	if [ "${1:-}" = --record ]; then
		native "$program" "$flags" "$seconds" >"tests/golden/$name.txt" || exit 1
		continue
	fi
	sandbox "$program" "$flags" "$seconds" >"$tmp/here"
	expect "golden trace $name" "" diff "tests/golden/$name.txt" "$tmp/here"
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ]; then
		skip "golden trace $name on this kernel" "/dev/fuse of the host, or root"
	elif [[ $(uname -r) != 6.18.* ]]; then
		skip "golden trace $name on this kernel" "Linux 6.18"
	else
		native "$program" "$flags" "$seconds" >"$tmp/there"
		expect "golden trace $name on this kernel" "" diff "tests/golden/$name.txt" "$tmp/there"
	fi
done
summary
