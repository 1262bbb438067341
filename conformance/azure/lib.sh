# Shared by run and cli: virtual environments in the user's cache, and an embedded ARM for the time of the script.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/marea

# environment NAME FILE: sets $venv to a virtual environment with the packages of FILE, made once per content of FILE.
# Exit 3 where the package index cannot be reached.
environment() {
    venv=$cache/$1-$(sha256sum < "$2" | cut -c1-12)
    [ -e "$venv/complete" ] && return
    mkdir -p "$cache"
    rm -rf "$venv"
    echo "azure: installing the packages of $(basename "$2") into $venv"
    python3 -m venv "$venv"
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$2" > "$cache/$1-pip.log" 2>&1; then
        rm -rf "$venv"
        echo "azure: SKIPPED, the Python package index cannot be reached or lacks a package (see $cache/$1-pip.log)" >&2
        exit 3
    fi
    touch "$venv/complete"
}

# embedded_arm: starts one, sets the variables that Azure's clients read, and ends it with the script.
embedded_arm() {
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p arm-server --example embedded_arm
    folder=$(mktemp -d)
    # The server ends when its standard input does, so nothing has to be killed by name.
    coproc SERVER { exec "${CARGO_TARGET_DIR:-$root/target}/debug/examples/embedded_arm" "$folder" 2> "$folder/log"; }
    server_pid=$SERVER_PID
    trap 'kill "$server_pid" 2>/dev/null || true; rm -rf "$folder"' EXIT
    for _ in $(seq 100); do [ -e "$folder/azure-env" ] && break; sleep 0.1; done
    [ -e "$folder/azure-env" ] || { cat "$folder/log" >&2; exit 1; }
    # shellcheck disable=SC1091
    . "$folder/azure-env"
}
