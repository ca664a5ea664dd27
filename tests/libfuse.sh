# A libfuse newer than the system's, beside it: the source package of Debian's next release, with its
# examples, which Debian 12's libfuse3-dev has only in part. Sourced by the tests that use it.

# newer_libfuse: builds build/libfuse/{lib,example,util}, and an empty file `uring` beside them if the
# library can use io_uring. Fails where it cannot be had, and prints why.
newer_libfuse() {
	local to=$PWD/build/libfuse tool uring=without
	pkg-config --exists liburing numa && uring=with
	[ "$(cat "$to/complete" 2>/dev/null)" = "$uring io_uring" ] && return 0
	for tool in apt-get meson ninja g++; do
		command -v $tool >/dev/null || { echo "$tool is not installed"; return 1; }
	done
	rm -rf "$to" && mkdir -p "$to/apt/lists/partial" "$to/apt/cache/archives/partial"
	(
		cd "$to" && libfuse_source && tar xf fuse3_*.orig.tar.[gx]z --strip-components=1 --one-top-level=source
	) >"$to/log" 2>&1 || { echo "no source package of libfuse: $(tail -n 1 "$to/log")"; return 1; }
	(
		cd "$to/source" && meson setup "$to/b" --libdir=lib -Dtests=false -Duseroot=false \
			-Dinitscriptdir= -Dudevrulesdir=/none $(grep -q enable-custom-io meson_options.txt &&
				echo -Denable-custom-io=true) && ninja -C "$to/b"
	) >"$to/log" 2>&1 || { echo "libfuse could not be built: $(tail -n 1 "$to/log")"; return 1; }
	! grep -qs 'define HAVE_URING' "$to/b/fuse_config.h" "$to/b/libfuse_config.h" || : >"$to/uring"
	mv "$to/b/lib" "$to/b/example" "$to/b/util" "$to/" && rm -r "$to/b" "$to/apt" &&
		echo "$uring io_uring" >"$to/complete"
}

# Downloads into the current directory, with apt's signatures but none of the system's apt state.
libfuse_source() {
	local mirror option=(-o Dir::State="$PWD/apt" -o Dir::Cache="$PWD/apt/cache" -o Dir::State::status=/dev/null
		-o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts=-
		-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2)
	# The mirror that the system uses.
	mirror=$(apt-get indextargets --format '$(SITE)' | grep -m 1 '/debian/*$') ||
		{ echo "no Debian mirror"; return 1; }
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >apt/sources.list
	timeout 120 apt-get -q "${option[@]}" update &&
		timeout 60 apt-get -q "${option[@]}" --download-only source fuse3
}
