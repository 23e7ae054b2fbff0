# shellcheck shell=bash
# What the scripts share: the root of the tree, where tools are found, and the live line. Meant to be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

# Tools that `script/bootstrap test` keeps in the tree come first; a tool chain from rustup or from go.dev is off PATH on
# some machines.
export PATH="$root/.tools/python/bin:$PATH"
command -v cargo >/dev/null 2>&1 || export PATH="$HOME/.cargo/bin:$PATH"
command -v go >/dev/null 2>&1 || export PATH="$PATH:/usr/local/go/bin"

note() { printf '%s\n' "$*" >&2; }
die() {
  note "error: $*"
  exit 1
}

# live LABEL COMMAND [ARG...]
# Runs a command with its output in a log and shows that it lives: a moving line on a terminal, a line each 20 s
# elsewhere. The whole log is shown when the command fails.
live() {
  local label=$1 log started elapsed last next=20 frames='-\|/' frame=0 result=0
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$!
  started=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    elapsed=$((SECONDS - started))
    if [ -t 2 ]; then
      last=$(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]' || true)
      printf '\r\033[K%s %s  %d s  %.*s' "${frames:frame++%4:1}" "$label" "$elapsed" 70 "$last" >&2
    elif [ "$elapsed" -ge "$next" ]; then
      note "  $label  $elapsed s"
      next=$((next + 20))
    fi
    sleep 0.2
  done
  wait "$pid" || result=$?
  [ -t 2 ] && printf '\r\033[K' >&2
  elapsed=$((SECONDS - started))
  if [ "$result" = 0 ]; then
    note "ok $label  $elapsed s"
  else
    cat "$log" >&2
    note "failed: $label (exit $result)"
  fi
  rm -f "$log"
  return "$result"
}

build() {
  live 'build dms and dmc' cargo build --locked -p dm-server -p dm-cli
}

# Builds the wrappers for Kubernetes as one static program, and puts it where the verbs in their folder point. One that is
# the same is left as it is: a `dms` may be calling it.
build_wrappers() {
  local host program=wrappers/kubernetes/dm-kubernetes
  host=$(rustc -vV | sed -n 's/^host: //p')
  live 'build wrappers/kubernetes' cargo build --locked --release -p dm-kubernetes --target "$host" \
    --config "target.$host.rustflags=['-C', 'target-feature=+crt-static']"
  if ! cmp -s "target/$host/release/dm-kubernetes" "$program"; then
    cp "target/$host/release/dm-kubernetes" "$program.$$"
    mv "$program.$$" "$program"
  fi
}
