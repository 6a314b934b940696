#!/bin/sh
# setup.sh PURPOSE [COMMAND...]: install what PURPOSE needs and this machine
# lacks, then run COMMAND with the tools in its environment.
#
#   build  certificates, for Go's module downloads
#   demo   build, and supervisord
#   brokers  ActiveMQ Classic, and Apache Artemis by Maven into .cache/artemis
#   test   demo, and a C compiler (go test -race), iproute2, the brokers, PostgreSQL,
#          Chromium, Node 22 and the official MCP clients, those in Python too; of these,
#          a missing one makes its tests skip, or, where CI is set, fails here
#   package  what builds the packages (goreleaser and an SBOM tool, from source: minutes, once), and what
#          checks them: the official MCP bundle tool, compose, and, as root on Debian, a clean Debian
#
# Packages come from the machine's package manager, as root or by "sudo -n",
# which never asks for a password. Where that is impossible, supervisord goes
# into a Python environment under .cache/. Nothing else outside .cache/ is
# touched, no service is left running, and with everything in place there is
# no network access and nothing to wait for.
#
# COMMAND sees SWF_SUPERVISORD (path of the program) and, for tests,
# SWF_TEST_ARTEMIS (the folder of that broker),
# SWF_TEST_CHROMIUM, SWF_TEST_NODE (Node 22.19 or later), SWF_TEST_NODE_MODULES
# (the clients and axe-core) and SWF_TEST_PYTHON
# (a Python that has the packages mcp and stomp.py). Once packages are built it
# also sees SWF_TEST_DIST (where they are), SWF_TEST_MCPB, SWF_TEST_COMPOSE and
# SWF_TEST_DOCKERFILE (the programs), SWF_TEST_MCP_SCHEMA and SWF_TEST_DEBIAN.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache=${SWF_SETUP_CACHE:-$root/.cache}
venv=$cache/venv
node=$cache/node
artemis_version=2.40.0
artemis=$cache/artemis/apache-artemis-$artemis_version
python=$cache/python
tools=$cache/tools
checks=$cache/checks
debian=$cache/debian
goreleaser_version=v2.15.4
cyclonedx_version=v1.10.0
registry_version=v1.6.0

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

die() { # MESSAGE HINT
	printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
	exit 1
}

# lacking says what cannot be had: an error in CI, a note for a person.
lacking() { # WHAT CONSEQUENCE HINT
	[ -z "${CI:-}" ] || die "$1 could not be installed" "$3"
	say "$1 could not be installed: $2 ($3)"
}

# as_root runs a command as root, or fails without asking anybody.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		return 1
	fi
}

# quietly keeps a command's output to itself unless the command fails.
quietly() {
	mkdir -p "$cache"
	if "$@" >"$cache/setup.log" 2>&1; then return 0; fi
	say "failed: $*"
	tail -n 5 "$cache/setup.log" >&2
	return 1
}

manager() {
	for m in apt-get dnf apk pacman zypper brew; do
		if have "$m"; then
			echo "$m"
			return
		fi
	done
}

# packages installs by the machine's package manager.
packages() { # PACKAGE...
	m=$(manager)
	[ -n "$m" ] || return 1
	[ "$m" = brew ] || as_root true || return 1
	say "installing $* by $m"
	case $m in
	apt-get) debian_packages "$@" ;;
	dnf) quietly as_root dnf install -y -q "$@" ;;
	apk) quietly as_root apk add --no-progress "$@" ;;
	pacman) quietly as_root pacman -S --noconfirm --needed "$@" ;;
	zypper) quietly as_root zypper --non-interactive install "$@" ;;
	brew) quietly brew install "$@" ;;
	esac
}

# debian_packages installs by apt-get. Debian's packages start their services;
# we want the programs only, so a policy against starting stands meanwhile.
debian_packages() {
	policy=/usr/sbin/policy-rc.d
	ours=
	if [ ! -e "$policy" ]; then
		ours=yes
		trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
		trap 'exit 130' INT TERM
		as_root sh -c "printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod 755 $policy" || :
	fi
	status=0
	# Lists may be missing (a container image) or too old to be served.
	if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then debian_update; fi
	if ! debian_install "$@"; then
		debian_update
		debian_install "$@" || status=1
	fi
	if [ -n "$ours" ]; then
		as_root rm -f "$policy"
		trap - EXIT INT TERM
	fi
	return "$status"
}

debian_update() {
	quietly as_root apt-get -q -o DPkg::Lock::Timeout=120 update || :
}

debian_install() { # PACKAGE...
	quietly as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -y -q -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"
}

need_certificates() {
	[ -z "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || return 0
	for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
		/etc/ssl/ca-bundle.pem /etc/pki/tls/cacert.pem /etc/ssl/cert.pem \
		/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem; do
		[ ! -s "$f" ] || return 0
	done
	packages ca-certificates ||
		say "no CA certificates found: Go may fail to download modules (install ca-certificates)"
}

supervisord_path() {
	if [ -n "${SWF_SUPERVISORD:-}" ]; then
		have "$SWF_SUPERVISORD" ||
			die "SWF_SUPERVISORD=$SWF_SUPERVISORD is not a program" "correct it or unset it"
		command -v "$SWF_SUPERVISORD"
	elif have supervisord; then
		command -v supervisord
	elif [ -x "$venv/bin/python" ] && [ -x "$venv/bin/supervisord" ]; then
		echo "$venv/bin/supervisord"
	else
		return 1
	fi
}

need_supervisord() {
	supervisord_path >/dev/null && return 0
	if packages supervisor && have supervisord; then
		# Debian also makes a service of it, which nobody asked for.
		if have update-rc.d; then as_root update-rc.d supervisor disable >/dev/null 2>&1 || :; fi
		return 0
	fi
	python_supervisord && return 0
	die "supervisord is missing and could not be installed" \
		"install the package supervisor, or Python with venv (Debian: python3-venv), and repeat; or set SWF_SUPERVISORD to its path"
}

python_supervisord() {
	python_packages "$venv" supervisor==4.3.0 supervisor==4.3.0
}

# python_packages makes a Python environment with packages in it.
python_packages() { # FOLDER WHAT PIP-ARGUMENT
	if ! have python3; then
		case $(manager) in
		pacman) packages python ;;
		*) packages python3 ;;
		esac || return 1
	fi
	say "installing $2 into $1"
	for way in with_venv with_pip with_uv with_debian_venv; do
		rm -rf "$1"
		if "$way" "$1" "$3"; then return 0; fi
	done
	rm -rf "$1"
	return 1
}

with_venv() { # FOLDER PIP-ARGUMENT
	quietly python3 -m venv "$1" && quietly "$1/bin/python" -m pip install -q "$2"
}

# with_pip is for a Python that has pip, but not the ensurepip that venv wants.
with_pip() { # FOLDER PIP-ARGUMENT
	python3 -m pip --version >/dev/null 2>&1 || return 1
	quietly python3 -m venv --without-pip "$1" &&
		quietly python3 -m pip --python "$1/bin/python" install -q "$2"
}

with_uv() { # FOLDER PIP-ARGUMENT
	have uv || return 1
	quietly uv venv -q "$1" && quietly uv pip install -q --python "$1/bin/python" "$2"
}

with_debian_venv() { # FOLDER PIP-ARGUMENT
	[ "$(manager)" = apt-get ] && packages python3-venv && with_venv "$1" "$2"
}

need_compiler() {
	cc=$(go env CC)
	have "${cc%% *}" && [ -e /usr/include/stdlib.h ] && return 0
	case $(manager) in
	apt-get) packages gcc libc6-dev ;;
	apk) packages gcc musl-dev ;;
	dnf) packages gcc glibc-devel ;;
	*) packages gcc ;;
	esac || lacking "a C compiler" "tests run without the race detector" "install gcc and the C library's headers"
}

need_postgresql() {
	have initdb && return 0
	for f in /usr/lib/postgresql/*/bin/initdb; do
		[ ! -x "$f" ] || return 0
	done
	case $(manager) in
	dnf | zypper) packages postgresql-server ;;
	brew) packages postgresql@17 ;;
	*) packages postgresql ;;
	esac || lacking "PostgreSQL" "its tests are skipped" "on Debian: apt-get install postgresql"
}

need_activemq() {
	jar=/usr/share/activemq/bin/activemq.jar
	[ -e "$jar" ] && have java && return 0
	if [ "$(manager)" = apt-get ] && packages activemq default-jre-headless && [ -e "$jar" ] && have java; then
		return 0
	fi
	lacking "ActiveMQ Classic" "its tests are skipped" "on Debian: apt-get install activemq default-jre-headless"
}

# need_artemis fetches what Maven Central serves and checks it as Maven does.
need_artemis() {
	[ ! -e "$artemis/installed" ] || return 0
	hint="install Java and Maven (Debian: default-jre-headless maven), then repeat"
	if ! have mvn && ! { [ "$(manager)" = apt-get ] && packages maven && have mvn; }; then
		lacking "Maven, for Apache Artemis" "its tests are skipped" "$hint"
		return 0
	fi
	say "installing Apache Artemis $artemis_version into $cache/artemis"
	rm -rf "$cache/artemis"
	mkdir -p "$cache/artemis"
	if quietly mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy -DoutputDirectory="$cache/artemis" \
		-Dartifact="org.apache.activemq:apache-artemis:$artemis_version:tar.gz:bin" &&
		quietly tar -xzf "$cache/artemis/apache-artemis-$artemis_version-bin.tar.gz" -C "$cache/artemis" &&
		[ -e "$artemis/lib/artemis-boot.jar" ]; then
		rm -rf "$cache/artemis/apache-artemis-$artemis_version-bin.tar.gz" "$artemis/web"
		: >"$artemis/installed"
		return 0
	fi
	rm -rf "$cache/artemis"
	lacking "Apache Artemis" "its tests are skipped" "$hint"
}

# chromium_path prints the browser that shows the dashboard to the tests.
chromium_path() {
	for c in "${SWF_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome; do
		if [ -n "$c" ] && have "$c"; then
			command -v "$c"
			return 0
		fi
	done
	return 1
}

need_chromium() {
	chromium_path >/dev/null && return 0
	packages chromium && chromium_path >/dev/null && return 0
	lacking "Chromium" "the tests of the dashboard's pages are skipped" "on Debian: apt-get install chromium"
}

# node_path prints a Node of at least 22.19, which the MCP Inspector needs.
node_path() {
	for n in "${SWF_TEST_NODE:-}" "$node"/node_modules/node-linux-*/bin/node "$(command -v node || :)"; do
		if [ -x "$n" ] && "$n" -e 'const [a, b] = process.versions.node.split(".").map(Number)
			process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)' 2>/dev/null; then
			echo "$n"
			return 0
		fi
	done
	return 1
}

need_mcp_clients() {
	lock=$root/scripts/node/package-lock.json
	cmp -s "$lock" "$node/installed.json" && return 0
	hint="install npm and Node 22, then repeat"
	if ! have npm && ! packages npm; then
		lacking "npm" "tests with the official MCP clients are skipped" "$hint"
		return 0
	fi
	say "installing the official MCP clients into $node"
	rm -rf "$node"
	mkdir -p "$node"
	cp "$root/scripts/node/package.json" "$lock" "$node/"
	# --ignore-scripts: nothing that was downloaded runs before a test asks for it.
	if (cd "$node" && quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && node_path >/dev/null; then
		cp "$lock" "$node/installed.json"
		return 0
	fi
	rm -rf "$node"
	lacking "Node 22 with the MCP clients" "their tests are skipped" "$hint"
}

need_python_clients() {
	lock=$root/scripts/python/requirements.txt
	cmp -s "$lock" "$python/installed.txt" && [ -x "$python/bin/python" ] && return 0
	if python_packages "$python" "the Python clients of MCP and STOMP" "--requirement=$lock"; then
		cp "$lock" "$python/installed.txt"
		return 0
	fi
	lacking "the Python clients of MCP and STOMP" "their tests are skipped" "install Python 3.10 or later with venv, then repeat"
}

# need_iproute is for tests over several hosts, which are network namespaces.
need_iproute() {
	have ip && return 0
	case $(manager) in
	dnf) packages iproute ;;
	*) packages iproute2 ;;
	esac || lacking "iproute2" "the tests over several hosts are skipped" "on Debian: apt-get install iproute2"
}

# need_release_tools builds them from source with the Go that is here.
need_release_tools() {
	wanted="goreleaser $goreleaser_version, cyclonedx-gomod $cyclonedx_version, $(go env GOVERSION)"
	[ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ] || return 0
	say "building goreleaser and cyclonedx-gomod into $tools: the first time this takes minutes"
	mkdir -p "$tools"
	if quietly env GOBIN="$tools" CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/goreleaser/goreleaser/v2@$goreleaser_version" &&
		quietly env GOBIN="$tools" CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$cyclonedx_version"; then
		echo "$wanted" >"$tools/installed"
		return 0
	fi
	die "goreleaser could not be built" "see $cache/setup.log"
}

need_package_checks() {
	lock=$root/scripts/packaging/package-lock.json
	if ! cmp -s "$lock" "$checks/installed.json"; then
		say "installing the MCP bundle tool into $checks"
		rm -rf "$checks/node_modules" "$checks/installed.json"
		mkdir -p "$checks"
		cp "$root/scripts/packaging/package.json" "$lock" "$checks/"
		if (cd "$checks" && quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel=error); then
			cp "$lock" "$checks/installed.json"
		else
			lacking "the MCP bundle tool" "bundles are not checked" "install npm and Node 22, then repeat"
		fi
	fi
	lock=$root/scripts/packaging/requirements.txt
	if ! cmp -s "$lock" "$checks/installed.txt"; then
		if python_packages "$checks/python" "what reads container files" "--requirement=$lock"; then
			cp "$lock" "$checks/installed.txt"
		else
			lacking "docker-compose" "container files are not checked" "install Python 3.10 or later with venv, then repeat"
		fi
	fi
}

# need_debian makes a Debian of nothing but what is essential, with the
# packages at hand that ours depends on, so that a test needs no network.
need_debian() {
	[ ! -e "$debian/installed" ] || return 0
	if [ "$(id -u)" != 0 ] || [ "$(manager)" != apt-get ]; then
		say "the deb is not installed anywhere: a clean Debian takes root on Debian"
		return 0
	fi
	have debootstrap || packages debootstrap || :
	say "making a clean Debian in $debian"
	rm -rf "$debian"
	mkdir -p "$debian"
	if quietly debootstrap --variant=minbase bookworm "$debian/root" &&
		quietly chroot "$debian/root" apt-get -q update &&
		quietly chroot "$debian/root" apt-get -y -q --no-install-recommends --download-only install supervisor; then
		: >"$debian/installed"
		return 0
	fi
	rm -rf "$debian"
	lacking "a clean Debian" "the deb is not installed anywhere" "install debootstrap and repeat as root"
}

have go || die "go is missing" "install Go (the version that go.mod names, or later) from go.dev/dl and put it in PATH"
[ "$#" -gt 0 ] || die "no purpose given" "scripts/setup.sh build|demo|brokers|test|package [COMMAND...]"
purpose=$1
shift
case $purpose in
build) need_certificates ;;
demo)
	need_certificates
	need_supervisord
	;;
brokers)
	need_activemq
	need_artemis
	;;
test)
	need_certificates
	need_supervisord
	need_compiler
	need_iproute
	need_activemq
	need_artemis
	need_postgresql
	need_chromium
	need_mcp_clients
	need_python_clients
	;;
package)
	need_certificates
	need_release_tools
	need_mcp_clients
	need_package_checks
	need_postgresql
	need_activemq
	need_artemis
	need_debian
	;;
*) die "unknown purpose $purpose" "one of: build, demo, brokers, test, package" ;;
esac
[ "$#" -gt 0 ] || exit 0

if path=$(supervisord_path); then export SWF_SUPERVISORD="$path"; fi
if [ "$purpose" = package ]; then purpose="test"; fi # the tests of packages see the same
if [ "$purpose" = test ] && path=$(node_path) && [ -e "$node/installed.json" ]; then
	export SWF_TEST_NODE="$path" SWF_TEST_NODE_MODULES="$node/node_modules"
fi
if [ "$purpose" = test ] && path=$(chromium_path); then export SWF_TEST_CHROMIUM="$path"; fi
if [ "$purpose" = test ] && [ -e "$artemis/installed" ]; then export SWF_TEST_ARTEMIS="$artemis"; fi
if [ "$purpose" = test ] && [ -e "$python/installed.txt" ]; then export SWF_TEST_PYTHON="$python/bin/python"; fi
if [ "$purpose" = test ] && [ -e "$root/dist/server.json" ]; then export SWF_TEST_DIST="$root/dist"; fi
if [ "$purpose" = test ] && [ -e "$checks/installed.json" ]; then
	export SWF_TEST_MCPB="$checks/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"
fi
if [ "$purpose" = test ] && [ -e "$checks/installed.txt" ]; then
	export SWF_TEST_COMPOSE="$checks/python/bin/docker-compose" SWF_TEST_DOCKERFILE="$checks/python/bin/python"
fi
if [ "$purpose" = test ] && [ -e "$tools/installed" ]; then # goreleaser's own copy of the registry's module
	registry=$(go mod download -json "github.com/modelcontextprotocol/registry@$registry_version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	export SWF_TEST_MCP_SCHEMA="$registry/docs/reference/server-json/draft/server.schema.json"
fi
if [ "$purpose" = test ] && [ -e "$debian/installed" ]; then export SWF_TEST_DEBIAN="$debian/root"; fi
exec "$@"
