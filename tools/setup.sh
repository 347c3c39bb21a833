# Shared by workflows/quickstart/run and tests/run: sourced, not run.
# Installs what is missing, configures and builds, and sets what MPI needs on a developer's machine.

say() { printf 'trireme: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

# The packages named in the given lists that are not installed.
missing_packages() {
  cat "$@" | sed -e 's/#.*//' | awk 'NF {print $1}' | while read -r package; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

# Installs what the given lists name, as root or with sudo; otherwise prints the exact command and stops.
install_packages() {
  command -v dpkg-query >/dev/null || {
    say "this is no Debian: install what these lists name by your own means, then set TRIREME_NO_INSTALL=1: $*"
    [ "${TRIREME_NO_INSTALL:-}" = 1 ] && return 0
    exit 2
  }
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  local install="apt-get install -y --no-install-recommends $missing"
  local as_root=
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root="sudo"
    else
      say "these packages are missing; install them and run this again:"
      say "  sudo apt-get update && sudo $install"
      exit 2
    fi
  fi
  say "installing: $missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  $as_root $install >/dev/null 2>&1 || {
    $as_root apt-get update >/dev/null || die "apt-get update failed"
    $as_root $install >/dev/null || die "apt could not install: $missing"
  }
}

# Builds of one tree share what they compile alike: a folder that knows nothing of MPI is compiled once for both.
share_compilations() {
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}" CCACHE_NOHASHDIR=1
  export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros}"
}

# build PRESET: configures and builds it; quiet unless something goes wrong.
build() {
  share_compilations
  local log
  log=$(mktemp)
  say "building ($1) …"
  if ! { cmake --preset "$1" && cmake --build --preset "$1" "${@:2}"; } >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    rm -f "$log"
    die "the build failed"
  fi
  rm -f "$log"
}

# Open MPI refuses to run as root and to start more ranks than there are cores, unless told that it is meant.
mpi_on_this_machine() {
  if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  export OMPI_MCA_rmaps_base_oversubscribe=1
}
