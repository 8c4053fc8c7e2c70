#!/usr/bin/env bash
# Train in parts on a machine that is lent for a while: this checkout is there, results go to $OUT.
#
#   scripts/elsewhere.sh unpack .carry1                      data and wheels, a folder a call
#   scripts/elsewhere.sh train NAME MINUTES OPTIONS…         MINUTES of the run NAME; call again to go on
#   scripts/elsewhere.sh run COMMAND…                        anything else, with what was unpacked
#
# OPTIONS are those of `cleanplate train` without folders, for example `--recipe light --minutes 20
# --start default --carried 0.5`. What comes back in $OUT: the run's log, its weights (moving average,
# fp16) and, if it is small enough, the checkpoint to go on from another day, in pieces of at most
# 15 MiB that `cat NAME.* > NAME` joins. `scripts/pack_corpus.py` makes the folders to unpack.
set -euo pipefail
cd "$(dirname "$0")/.."
WORK=${WORK:-/tmp/cleanplate-work}
OUT=${OUT:-$WORK/out}
PYTHON=${PYTHON:-python3}
PIECE=${PIECE:-15M}
MOST=${MOST:-45000000}  # bytes of a checkpoint that is sent back
mkdir -p "$WORK" "$OUT"
export PYTHONPATH=$PWD/src:$WORK/site PYTHONUNBUFFERED=1

unpack() {
    cp -rn "$1"/. "$WORK"/
    if compgen -G "$1/wheels/*.whl" >/dev/null; then
        "$PYTHON" -m pip install -q --no-index --no-deps --upgrade --target "$WORK/site" "$1"/wheels/*.whl
    fi
    ls "$WORK" && du -sh "$WORK"
}

send() {  # FILE: into $OUT, in pieces
    [ -f "$1" ] && split -b "$PIECE" -d "$1" "$OUT/$(basename "$(dirname "$1")")-$(basename "$1")."
}

train() {
    local run=$WORK/runs/$1 minutes=$2
    shift 2
    "$PYTHON" -m cleanplate train "$run" --clips "$WORK/clips" --photographs "$WORK/images" \
        --cache "$WORK/cache" --pause-after "$minutes" "$@"
    send "$run/log.jsonl"
    send "$run/weights.safetensors"
    [ "$(stat -c %s "$run/last.pt")" -gt "$MOST" ] || send "$run/last.pt"
    tail -n 3 "$run/log.jsonl"
    ls -l "$OUT"
}

case ${1:-} in
    unpack) unpack "$2" ;;
    train) shift; train "$@" ;;
    run) shift; "$@" ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
