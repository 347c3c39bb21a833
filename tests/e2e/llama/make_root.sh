#!/bin/sh
# make_root.sh ROOT: a Debian testing in the folder ROOT with llama.cpp's server and the published clients in Python, from the
# mirror that this machine's apt uses. Needs root and mmdebstrap. ROOT is there when it is whole, or not at all.
set -eu
root=$1
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
  grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "apt's sources name no mirror" >&2; exit 1; }
rm -rf --one-file-system "$root.part"
mmdebstrap --quiet --mode=root --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=llama.cpp-tools,python3-openai,python3-ollama,ca-certificates testing "$root.part" "$mirror"
mkdir "$root.part/models" "$root.part/clients"
mv "$root.part" "$root"
