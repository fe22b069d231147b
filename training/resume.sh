#!/bin/sh
# Lets every paused training go on (SIGCONT).
exec "$(dirname "$0")/pause.sh" CONT
