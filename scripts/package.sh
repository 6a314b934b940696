#!/bin/sh
# package.sh all|here: build the files of a release into dist/, as a snapshot
# that is published nowhere: for all systems, or for this machine's alone.
set -eu

cd "$(dirname "$0")/.."
config=.goreleaser.yaml
case ${1:-} in
all) ;;
here) # the same description, cut down to one target
	config=.cache/goreleaser.yaml
	sed "s/goos: .*/goos: [$(go env GOOS)]/; s/goarch: .*/goarch: [$(go env GOARCH)]/" .goreleaser.yaml >"$config"
	;;
*)
	printf 'error: build what?\nhint: scripts/package.sh all, or here for this machine alone\n' >&2
	exit 1
	;;
esac
# The address of the repository is part of what is described; a copy that was
# never cloned has none.
if ! git ls-remote --get-url origin 2>/dev/null | grep -q /; then
	export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=https://github.com/epic-swf/testbed
fi
PATH=$PWD/.cache/tools:$PATH goreleaser release --snapshot --clean --parallelism 2 --config "$config"
version=$(sed -n 's/.*"version":"\([^"]*\)".*/\1/p' dist/metadata.json)
cp -R .cache/package/bundles dist/bundles
go run ./scripts/bundle server "$version" dist/bundles >dist/server.json
