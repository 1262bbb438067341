# Shared by the scripts: steps with their time, and what a machine must have. Sourced, not run.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repo
script_started=$(date +%s%N)

elapsed_since() { # nanoseconds since the epoch → "12.3 s"
  local tenths=$((($(date +%s%N) - $1) / 100000000))
  printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# step "What happens" command [argument…]: says what runs and how long it took; a failure ends the script with its output.
step() {
  local name=$1 started status=0
  shift
  started=$(date +%s%N)
  printf '==> %s\n' "$name"
  "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    printf '==> %s: failed after %s (exit %d)\n' "$name" "$(elapsed_since "$started")" "$status" >&2
    exit "$status"
  fi
  printf '==> %s: %s\n' "$name" "$(elapsed_since "$started")"
}

missing_programs() { # names of programs → those that are not on PATH or in the sbin folders
  local program
  for program in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null 2>&1 || printf '%s\n' "$program"
  done
}

need_toolchains() {
  local missing
  missing=$(missing_programs cargo rustc node npm python3)
  if [ -n "$missing" ]; then
    printf 'Missing: %s\nmarea is built with Rust 1.95 or newer (rustup), Node.js 20 or newer with npm, and Python 3.\n' \
      "$(echo "$missing" | tr '\n' ' ')" >&2
    return 2
  fi
}

# Debian package → a file that it brings; the file decides, so that programs from elsewhere count too.
package_is_there() {
  case $1 in
    # Any C compiler will do; Debian's comes without the library's headers.
    gcc | libc6-dev) [ -z "$(missing_programs cc)" ] ;;
    crun) [ -z "$(missing_programs crun)" ] ;;
    nftables) [ -z "$(missing_programs nft)" ] ;;
    iproute2) [ -z "$(missing_programs ip)" ] ;;
    nginx-light) [ -z "$(missing_programs nginx)" ] ;;
    prometheus) [ -z "$(missing_programs prometheus)" ] ;;
    chromium) [ -z "$(missing_programs chromium)" ] ;;
    postgresql-15) compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ;;
    *) dpkg -s "$1" >/dev/null 2>&1 ;;
  esac
}

# Installs Debian packages that are missing. Their services are not started: a policy file forbids it while they install.
need_packages() {
  local package wanted=() run=()
  for package in "$@"; do package_is_there "$package" || wanted+=("$package"); done
  [ ${#wanted[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    printf 'Missing: %s\nInstall what these Debian packages hold with your own package manager, then run this again.\n' "${wanted[*]}" >&2
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      run=(sudo)
    else
      printf 'Missing: %s\nInstall them as root, then run this again:\n  apt-get install --no-install-recommends %s\n' "${wanted[*]}" "${wanted[*]}" >&2
      return 1
    fi
  fi
  if [ -t 0 ]; then
    local answer
    read -r -p "Install ${wanted[*]} with apt-get? [Y/n] " answer
    case $answer in [nN]*) printf 'Nothing was installed.\n' >&2; return 5 ;; esac
  fi
  "${run[@]}" bash "$repo/scripts/install-packages" "${wanted[@]}"
}

build_release() {
  cargo build --release --locked -p marea -p marea-backend -p edge -p kubelet
}

# The console's files; built again only when a source has changed.
build_frontend() {
  local stamp=frontend/dist/.built-from now
  now=$(cd frontend && find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then
    printf 'unchanged\n'
    return 0
  fi
  (cd frontend && npm ci --no-audit --no-fund && npm run build) || return $?
  printf '%s\n' "$now" >"$stamp"
}
