#!/bin/bash
# Golden traces: the requests that one daemon gets for the steps of one client (tests/golden/fuse.c,
# names.c, data.c), recorded from Linux 6.18 in tests/golden/*.txt, are those that it gets in the
# sandbox. As root with a /dev/fuse the recordings are checked against this machine's kernel, too;
# --record writes them. Not in the text: pid, fh, lock owners (numbers of chance), and INIT.
#
# F50 F51 F81 F84 F85 F88-F93 F100 F103 F140 F141 F143
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
data=( # of tests/golden/data.c
	"data-plain 0 0"
	"data-cached 0x4f029 3600"
	"data-revalidated 0x4f029 0"
	"data-writeback 0x5f029 3600"
	"data-writeback-revalidated 0x5f029 0"
)
for program in fuse names data; do
	gcc -w -O1 -o "$tmp/$program" "tests/golden/$program.c" || exit 1
done
# What is not to be equal. docs/architecture.md, "Requests that differ from Linux'": in the steps that
# data.c calls "apart", where READs and WRITEs are cut; and data stored in a mapping is sent at the
# close that follows the munmap.
comparable() {
	awk '$0 == "apart: close of it" { next }
		/^[^ ]/ { apart = /^apart: / }
		!(apart && /^  (READ|WRITE) /)'
}
native() { # PROGRAM FLAGS SECONDS
	mkdir -p "$tmp/m"
	timeout -k 2 30 "$tmp/$1" "$tmp/m" "$2" "$3"
}
sandbox() {
	box --user 0 --bind "$tmp/$1:/golden:ro" --tmpfs /w -- sh -c "mkdir /w/m; /golden /w/m $2 $3"
}
for trace in "${traces[@]}" "${names[@]}" "${data[@]}"; do
	read -r name flags seconds <<<"$trace"
	program=${name%%-*}
	[ -e "tests/golden/$program.c" ] || program=fuse
	if [ "${1:-}" = --record ]; then
		native "$program" "$flags" "$seconds" >"tests/golden/$name.txt" || exit 1
		continue
	fi
	sandbox "$program" "$flags" "$seconds" >"$tmp/here"
	expect "golden trace $name" "" diff <(comparable <"tests/golden/$name.txt") \
		<(comparable <"$tmp/here")
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ]; then
		skip "golden trace $name on this kernel" "/dev/fuse of the host, or root"
	elif [[ $(uname -r) != 6.18.* ]]; then
		skip "golden trace $name on this kernel" "Linux 6.18"
	else
		native "$program" "$flags" "$seconds" >"$tmp/there"
		expect "golden trace $name on this kernel" "" diff "tests/golden/$name.txt" "$tmp/there"
	fi
done

# Programs that print one line per behaviour of the kernel; they need an empty directory and root.
for program in mount; do
	gcc -w -O1 -o "$tmp/$program" "tests/golden/$program.c" || exit 1
	there() {
		rm -rf "$tmp/d" && mkdir "$tmp/d" && timeout -k 2 60 "$tmp/$program" "$tmp/d"
	}
	if [ "${1:-}" = --record ]; then
		there >"tests/golden/$program.txt" || exit 1
		continue
	fi
	expect "golden lines $program" "" diff "tests/golden/$program.txt" <(box --user 0 --tmpfs /w \
		--bind "$tmp/$program:/program:ro" -- sh -c 'mkdir /w/d; /program /w/d')
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ] || [[ $(uname -r) != 6.18.* ]]; then
		skip "golden lines $program on this kernel" "/dev/fuse of the host, root, or Linux 6.18"
	else
		expect "golden lines $program on this kernel" "" diff "tests/golden/$program.txt" <(there)
	fi
done
summary
