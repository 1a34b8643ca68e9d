#!/bin/sh
# Builds an image from Debian packages and the requirements, without Docker and without an image registry:
#     images/build-rootfs.sh flow|cpu|gpu [FOLDER]
# writes FOLDER/lenscore-KIND.tar (an OCI image, as large as its environment; see docs/cluster.md) and
# FOLDER/lenscore-KIND.sbom.json. Import it with `ctr --namespace k8s.io images import FOLDER/lenscore-KIND.tar`.
# Needs root (or user namespaces), mmdebstrap, and python3 3.11 or newer; Debian 12 is what is installed inside.
set -eu
kind=$1
root=$(realpath "$(dirname "$0")/..")
out=${2:-$root/.cache/images}
mkdir -p "$out"
out=$(realpath "$out")
version=0.1.0
uv=${UV:-$root/.venv/bin/uv}
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
started=$(date +%s)
test -f "$root/requirements/$kind.txt" || { echo "unknown kind $kind: use flow, cpu or gpu" >&2; exit 2; }

# The source goes in by the same list as in Docker's build.
put_source='mkdir -p "$1/opt/source" && tar -C "'$root'" --exclude=__pycache__ -cf - lenscore jobs flows configs images requirements prefect.yaml pyproject.toml README.md | tar -C "$1/opt/source" -xf -'
put_tools='install -m 755 "'$uv'" "$1/opt/uv" && install -m 644 "'$certificates'" "$1/opt/ca.crt"'
inside='chroot "$1" env HOME=/opt SSL_CERT_FILE=/opt/ca.crt UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv'
make_venv="$inside"' /opt/uv venv -q --python /usr/bin/python3 /opt/venv'
fill_venv="$inside"' /opt/uv pip install -q -r /opt/source/requirements/'$kind'.txt'
assemble="$inside"' /opt/venv/bin/python /opt/source/images/assemble.py /opt/source /opt/lenscore && cp "$1/opt/lenscore/sbom.json" "'$out/lenscore-$kind.sbom.json'"'
clean='rm -rf "$1/opt/source" "$1/opt/uv" "$1/opt/ca.crt" "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log'

mmdebstrap --quiet --variant=minbase --include=python3,ca-certificates,libgomp1 \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$put_source" --customize-hook="$put_tools" --customize-hook="$make_venv" \
    --customize-hook="$fill_venv" --customize-hook="$assemble" --customize-hook="$clean" \
    bookworm "$out/rootfs-$kind.tar"

"${PYTHON:-python3}" "$root/images/oci.py" "$out/rootfs-$kind.tar" "$out/lenscore-$kind.tar" "lenscore-$kind:$version"
rm "$out/rootfs-$kind.tar"
echo "$out/lenscore-$kind.tar: $(du -m "$out/lenscore-$kind.tar" | cut -f1) MB in $(( $(date +%s) - started )) s"
