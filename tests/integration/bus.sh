#!/usr/bin/env bash
# Publishing, pulling, settling and reconnecting against a real nats-server with the topic table's rights.
cd "$(dirname "$0")/../.." || exit 70
export CMOCKA_MESSAGE_OUTPUT=TAP
if ! command -v nats-server >/dev/null; then
	echo "1..0 # skip no nats-server"
	exit 0
fi
exec "${HEALBUS_BUILD:-build}/tests/integration/bustest"
