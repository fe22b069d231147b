#!/bin/sh
# Makes sure that a test can open a window where no screen is: on Debian and Ubuntu
# installs Xvfb and the libraries that a window needs. Nothing fails without: the test
# of the window then says that it did not run.
[ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || exit 0
command -v Xvfb >/dev/null 2>&1 && ldconfig -p 2>/dev/null | grep -q 'libxkbcommon-x11\.so\.0' && exit 0
command -v apt-get >/dev/null 2>&1 || exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo="sudo -n"
echo "No screen: installing Xvfb for the test of the window."
{ $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
  xvfb libxkbcommon-x11-0 libx11-xcb1 libxi6 libxcursor1 libxrandr2; } >/dev/null 2>&1 || true
