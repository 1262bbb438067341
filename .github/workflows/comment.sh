#!/usr/bin/env bash
# Prints the comment of a pull request. Leaves a file `failed` where the gate breaks or a check finds something.
# Needs BASE and HEAD; SLO, BUDGET and TRACE (a CSV in the repository) for the gate.
set -uo pipefail
marea=${MAREA:-target/release/marea}

section() { # title, command…: its output in a block; returns its exit code
  local title=$1 output status
  shift
  output=$("$@" 2>&1)
  status=$?
  printf '### %s\n\n```\n%s\n```\n\n' "$title" "$output"
  return "$status"
}

section 'Plan' "$marea" preview --allow-unsupported
case $? in 0 | 3) ;; *) touch failed ;; esac
section 'Cost' "$marea" cost || touch failed
section 'Checks' "$marea" check || touch failed
if [ -n "${TRACE:-}" ]; then
  gate=("$marea" gate "$BASE..$HEAD" --trace "$TRACE" --markdown gate.md)
  [ -z "${SLO:-}" ] || gate+=(--slo "$SLO")
  [ -z "${BUDGET:-}" ] || gate+=(--budget "$BUDGET")
  if ! "${gate[@]}" >/dev/null 2>gate.err; then
    touch failed
  fi
  if [ -e gate.md ]; then cat gate.md; else printf '### Gate\n\n```\n%s\n```\n' "$(cat gate.err)"; fi
fi
