#!/bin/sh
# Ends the system services when the package goes; an upgrade leaves them
# running. Managers belong to their users and are left alone.
# dpkg says "remove", rpm says 0.
set -e

case ${1:-} in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable --now testbed-monitor.service testbed-mcp.service || :
	fi
	;;
esac
