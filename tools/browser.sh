#!/bin/sh
# Makes sure that a browser is there which runs without a screen: on Debian and Ubuntu installs
# Chromium. `make browser` then opens a report in it.
[ -n "${UNDIFFUSE_BROWSER:-}" ] && exit 0
for name in chromium chromium-browser google-chrome chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
command -v apt-get >/dev/null 2>&1 || { echo "Install Chromium, or name a browser by UNDIFFUSE_BROWSER." >&2; exit 1; }
sudo=
[ "$(id -u)" = 0 ] || sudo="sudo -n"
echo "No browser: installing Chromium for the test of the report."
$sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
