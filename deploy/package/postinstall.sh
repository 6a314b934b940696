#!/bin/sh
# Makes the user of the system services and gives it its settings. Nothing is
# enabled or started: which services a host has is its operator's decision.
set -e

user=swf-testbed
if ! getent passwd "$user" >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/swf-testbed --no-create-home --shell /usr/sbin/nologin "$user"
fi
chown -R "$user:$user" /etc/swf-testbed
chmod 0700 /etc/swf-testbed
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
