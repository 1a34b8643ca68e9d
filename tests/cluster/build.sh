#!/bin/bash
# build.sh DIR [NAME...]: builds the parts of a Kubernetes cluster from Go modules into DIR/bin. What is there stays.
# About 9 minutes on two quiet cores. Needs Go; a C compiler, libseccomp's headers and nft are installed on Debian.
set -euo pipefail
KUBERNETES=1.37.2 ETCD=v3.7.3 CONTAINERD=v2.4.2 RUNC=v1.5.2 CNI=v1.9.1 COREDNS=v1.15.0
STAGING=v0.${KUBERNETES#*.}

if ! { command -v nft && command -v ip && pkg-config --exists libseccomp; } > /dev/null && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev libseccomp-dev pkg-config nftables iproute2 > /dev/null
fi

mkdir -p "$1"
D=$(cd "$1" && pwd); shift
WANTED=${*:-etcd kube-apiserver kube-controller-manager kube-scheduler kubelet containerd containerd-shim-runc-v2 ctr runc cni pause coredns kube-proxy kubectl}
export PATH=/usr/local/go/bin:$PATH CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=mod -modcacherw -trimpath -buildvcs=false"
export GOGC=400 # the compiler may use memory to save time
export GOCACHE=$D/go/cache GOMODCACHE=$D/go/mod
mkdir -p "$D/bin/cni" "$D/go"

# A module of our own for each project: `go install` refuses modules with replace lines, and a wrapper pins versions.
module() { # NAME REQUIREMENT... : enters the folder; makes go.mod if it is not there
  mkdir -p "$D/go/$1" && cd "$D/go/$1"
  [ -f go.mod ] && return
  go mod init "lenscluster/$1"
  local requirement
  for requirement in "${@:2}"; do go mod edit -require "$requirement"; done
}
imports() { printf '//go:build tools\n\npackage tools\n\nimport (\n' && printf '\t_ "%s"\n' "$@" && printf ')\n'; }
LEAN=-gcflags=all=-dwarf=false # the same everywhere, so that common packages are compiled once
build() { go build $LEAN -ldflags "-s -w ${3:-}" ${4:+-tags "$4"} -o "$D/bin/$1" "$2"; }

kubernetes() { # Kubernetes maps its staging modules to folders of its own; here to their published versions
  module kubernetes "k8s.io/kubernetes@v$KUBERNETES" "go.etcd.io/etcd/server/v3@$ETCD"
  [ -f tools.go ] && return
  local upstream
  upstream=$(cd "$D/go" && go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  grep -E '^godebug ' "$upstream" >> go.mod || true
  sed -i "s/^go .*/$(grep -E '^go ' "$upstream")/" go.mod
  grep -oE 'k8s.io/[a-z-]+ => \./staging' "$upstream" | awk -v v="$STAGING" '{print "replace " $1 " => " $1 " " v}' >> go.mod
  mkdir -p etcd
  printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' > etcd/main.go
  imports k8s.io/kubernetes/cmd/kube{-apiserver,-controller-manager,-scheduler,-proxy,ctl,let} > tools.go
}
stamp() {
  local minor=${KUBERNETES#*.} package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.gitVersion=v%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' $package "$KUBERNETES" $package $package "${minor%.*}"
    printf -- '-X %s.gitTreeState=clean -X %s.gitCommit=goproxy -X %s.buildDate=1970-01-01T00:00:00Z ' $package $package $package
  done
}
containerd() {
  module containerd "github.com/containerd/containerd/v2@$CONTAINERD"
  imports github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr} > tools.go
}
coredns() { # with the three plugins that a cluster for tests needs, and Kubernetes' client as above
  module coredns "github.com/coredns/coredns@$COREDNS" k8s.io/{api,apimachinery,client-go}@"$STAGING"
  cat > main.go <<'EOT'
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func init() { dnsserver.Directives = []string{"bind", "errors", "kubernetes"} }

func main() { coremain.Run() }
EOT
}
pause() { # holds a pod's namespaces: reaps children, ends on TERM or INT
  module pause
  cat > main.go <<'EOT'
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
EOT
}
one() {
  case $1 in
    etcd) kubernetes && build etcd ./etcd ;;
    kube*) kubernetes && build "$1" "k8s.io/kubernetes/cmd/$1" "$(stamp)" ;;
    containerd* | ctr) containerd && build "$1" "github.com/containerd/containerd/v2/cmd/$1" \
      "-X github.com/containerd/containerd/v2/version.Version=$CONTAINERD" no_btrfs,no_zfs,no_devmapper,no_aufs ;;
    runc) module runc "github.com/opencontainers/runc@$RUNC" && imports github.com/opencontainers/runc > tools.go &&
      CGO_ENABLED=1 build runc github.com/opencontainers/runc "-X main.version=${RUNC#v} -extldflags -static" netgo,osusergo,seccomp ;;
    cni) GOBIN=$D/bin/cni go install $LEAN -ldflags "-s -w" github.com/containernetworking/plugins/plugins/{main/bridge,main/loopback,ipam/host-local}@$CNI ;;
    pause) pause && build pause . ;;
    coredns) coredns && build coredns . ;;
    *) echo "unknown part $1" >&2 && return 2 ;;
  esac
}
for name in $WANTED; do
  file=$D/bin/$name && [ "$name" = cni ] && file=$D/bin/cni/bridge
  [ -x "$file" ] && continue
  echo "building $name" && began=$SECONDS
  (one "$name") > "$D/go/$name.log" 2>&1 || { tail -5 "$D/go/$name.log" | cut -c1-300; echo "could not build $name; the log is $D/go/$name.log"; exit 1; }
  echo "built $name in $((SECONDS - began)) s"
done
rm -rf "$D/go"
