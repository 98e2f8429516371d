#!/bin/sh
# Process 1 of the virtual machine. It reads the files of the machine outside, and writes into memory only. Of the
# kernel's command line come $interpreter, of Python, and $shared, the folder outside that it may write to.
set -e
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb LANG=C.UTF-8
export HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/shared
mount -t hostfs -o "$shared" none /run/shared
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd "$(dirname "$0")/../.."
"$interpreter" -m tests.virtual_machine.inside /run/shared || echo "the tests could not be run: status $?"
echo o > /proc/sysrq-trigger
sleep 10
