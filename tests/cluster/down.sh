#!/usr/bin/env bash
# Stops the test cluster and removes what up.sh made: its processes, its user, its folder, its lines in /etc/hosts, and
# what its jobs left in /tmp. Debian's packages stay.
set -euo pipefail

root=${STAGECTL_CLUSTER:-/opt/stagectl-cluster}
user=stagectl-test

[ "$(id -u)" = 0 ] || { echo "down.sh: it removes what root made, so it must run as root" >&2; exit 1; }
[ -e "$root" ] || exit 0
[ -e "$root/made-by-up.sh" ] || { echo "down.sh: $root is not what up.sh made" >&2; exit 1; }

end() { # SIGNAL PROCESS...: and wait; one that only waits to be reaped is over
  local signal=$1 && shift
  [ $# -gt 0 ] || return 0
  kill "-$signal" "$@" 2> /dev/null || true
  for _ in $(seq 50); do
    ps -o stat= -p "${*// /,}" | grep -qv '^Z' || return 0
    sleep 0.1
  done
}

left_of() { # PATTERN: processes of the laptop's side, known by their home and their command
  for process in $(grep -lsz "^HOME=$root/laptop\$" /proc/[0-9]*/environ 2> /dev/null | cut -d/ -f3 || true); do
    if grep -qsaE "$1" "/proc/$process/cmdline"; then echo "$process"; fi
  done
}
# followers, which would start the API server again, then that server and the jobs controllers that it may just be starting
for what in 'stagectl\.launch' 'sky[./](server|jobs|skylet)'; do
  for _ in $(seq 10); do
    [ -n "$(left_of "$what")" ] || break
    for process in $(left_of "$what"); do # with what it started, known by its session
      # shellcheck disable=SC2046  # one word a process
      end KILL $(ps -o pid= -s "$(ps -o sid= -p "$process" | tr -d ' ')")
    done
  done
done

if sinfo=$(SLURM_CONF=$root/slurm/slurm.conf sinfo -h 2> /dev/null) && [ -n "$sinfo" ]; then
  export SLURM_CONF=$root/slurm/slurm.conf
  scancel --user "$user" --signal KILL 2> /dev/null || true
  scancel --user "$user" 2> /dev/null || true
  for _ in $(seq 100); do [ -z "$(squeue -h 2> /dev/null)" ] && break; sleep 0.2; done
fi
for name in sshd slurmd-node1 slurmd-node2 slurmctld munged; do
  file=$root/run/$name.pid
  if [ -f "$file" ]; then end TERM "$(cat "$file")"; fi
done
if id "$user" > /dev/null 2>&1; then
  # shellcheck disable=SC2046
  end KILL $(ps -o pid= -U "$user")
  find /tmp /var/tmp -maxdepth 1 -user "$user" -exec rm -rf {} + # SkyPilot's runtimes on the node
  userdel "$user"
fi

hosts=$(grep -v '# stagectl-test$' /etc/hosts) && echo "$hosts" > /etc/hosts
if [ -e "$root/made-run-sshd" ]; then rmdir /run/sshd 2> /dev/null || true; fi
rm -rf "$root"
