#!/usr/bin/env bash
# Makes the README's picture from a real run in a terminal of 88 columns (tmux).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v tmux >/dev/null || { echo "the picture is taken in a tmux terminal: install tmux" >&2; exit 2; }
go=${GO:-go}
work=$(mktemp -d)
session=fedlab-picture-$$
trap 'tmux kill-session -t "$session" 2>/dev/null; rm -rf "$work"' EXIT
"$go" build -o "$work/fedlab" ./cmd/fedlab
PATH="$work:$PATH" CI= tmux new-session -d -s "$session" -x 88 -y 60 \
	"echo '\$ fedlab run nat ports'; fedlab run nat ports; tmux wait-for -S $session; cat"
tmux wait-for "$session"
tmux capture-pane -p -t "$session" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' | "$go" run docs/picture.go >docs/run.svg
