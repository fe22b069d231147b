#!/bin/sh
# Stops every training in place (SIGSTOP), so that something can be measured. resume.sh lets them go on.
# pause.sh STOP|CONT is what both call.
state=${UNDIFFUSE_TRAINING:-$HOME/.cache/undiffuse-training}
for file in "$state"/pids/*; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    name=${file##*/}
    # A process id may have been given to somebody else since: only a Python process is touched.
    case $(ps -o comm= -p "$pid" 2>/dev/null) in
    python* | pt_main*) kill -"${1:-STOP}" "$pid" && echo "$name: ${1:-STOP} to $pid" ;;
    *) echo "$name: not running" ;;
    esac
done
