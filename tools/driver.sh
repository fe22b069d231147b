#!/bin/sh
# Makes sure that a Vulkan driver answers; on Debian and Ubuntu installs Mesa's
# software driver (lavapipe) where none does. macOS and Windows bring their own.
set -eu
[ "$(uname -s)" = Linux ] || exit 0
PATH=$PATH:/usr/sbin:/sbin
for dir in "${XDG_DATA_HOME:-$HOME/.local/share}" /etc /usr/local/share /usr/share; do
  if ls "$dir"/vulkan/icd.d/*.json >/dev/null 2>&1; then
    icd=yes
  fi
done
if [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]; then icd=yes; fi
loader=$(ldconfig -p 2>/dev/null | grep -c 'libvulkan\.so\.1' || true)
[ "${icd:-no}" = yes ] && [ "$loader" != 0 ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "No Vulkan driver answers. Install one (for example mesa-vulkan-drivers) and try again." >&2
  exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "No Vulkan driver answers: installing mesa-vulkan-drivers."
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mesa-vulkan-drivers libvulkan1 >/dev/null
