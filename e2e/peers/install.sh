#!/usr/bin/env bash
# Installs the servers and tools of all tests behind the build tag peers from the distribution's packages. None of them is started: the
# tests run them as their own children, with files of their own. Needs root and Debian 12 or something close to it.
set -euo pipefail

packages=(prosody lua-unbound ejabberd kamailio kamailio-tls-modules kamailio-presence-modules sip-tester stunnel4 tshark chromium)
units=(prosody.service ejabberd.service kamailio.service stunnel.target epmd.service epmd.socket)

missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
if ((${#missing[@]})); then
	# As long as this file says so, installing a server does not start it.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
	systemctl -q disable "${units[@]}"
fi
dpkg-query -W -f '${Package} ${Version}\n' "${packages[@]}"
