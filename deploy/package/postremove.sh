#!/bin/sh
# Removes what the services wrote, and their user, when dpkg says "purge".
# rpm knows no purge: there the data stay.
set -e

if [ "${1:-}" = purge ]; then
	rm -rf /etc/swf-testbed /var/lib/swf-testbed
	if getent passwd swf-testbed >/dev/null; then userdel swf-testbed; fi
	if getent group swf-testbed >/dev/null; then groupdel swf-testbed; fi
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
